"""The acceptor of Kerberos tickets against a real MIT realm: many at once, one token twice, a library that hangs, and files replaced under it."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import SourceMisbehaved, SourceUnreachable, Ticket, TicketRefused
from connectors.kerberos.acceptor import KerberosAcceptor
from connectors.kerberos.settings import KerberosSettings
from tests.support.fixed_clock import FixedClock
from tests.support.kdc import KERBEROS, Kdc, kdc_serving

Open = Callable[..., KerberosAcceptor]


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    """A realm with one person."""
    with kdc_serving(tmp_path_factory.mktemp("kdc-acceptor")) as made:
        made.add_person("alice")
        yield made


@pytest.fixture
def tickets(kdc: Kdc) -> Path:
    """What alice has got."""
    return kdc.give_tickets("alice")


@pytest.fixture
def open_acceptor(kdc: Kdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open acceptors with other settings; their replay cache is this test's."""
    monkeypatch.setenv("KRB5RCACHENAME", f"file2:{tmp_path / 'replays'}")
    opened: list[KerberosAcceptor] = []

    def make(clock: FixedClock | None = None, **override: object) -> KerberosAcceptor:
        settings = KerberosSettings.model_validate({"realm": kdc.realm, "keytabs": [kdc.keytab], **override})
        opened.append(KerberosAcceptor("essai", settings, clock or FixedClock(datetime.now(UTC)), host="localhost"))
        return opened[-1]

    yield make
    for acceptor in opened:
        acceptor.close()


def answers(acceptor: KerberosAcceptor, token: bytes) -> Ticket | str:
    try:
        return acceptor.accept(token)
    except TicketRefused as refused:
        return refused.problem


def test_many_tickets_at_once_are_each_accepted_once(kdc: Kdc, tickets: Path, open_acceptor: Open) -> None:
    acceptor = open_acceptor(concurrency=4)
    tokens = [kdc.offer(tickets) for _ in range(6)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda token: answers(acceptor, token), tokens * 2))
    accepted = [one for one in found if isinstance(one, Ticket)]
    assert (len(accepted), found.count("replayed")) == (6, 6)
    assert {one.principal for one in accepted} == {f"alice@{kdc.realm}"}
    assert len({one.handle for one in accepted}) == 6


def test_a_token_has_one_handle_however_it_is_wrapped(kdc: Kdc, tickets: Path, open_acceptor: Open) -> None:
    """Another server knows it again: what a stranger may change of a token, its wrapping, does not count."""
    bare = kdc.offer(tickets, mechanism=KERBEROS)
    accepted = open_acceptor().accept(bare)
    assert answers(open_acceptor(), wrapped(bare)) == "replayed"
    assert accepted.handle
    assert accepted.sid is None


def wrapped(bare: bytes) -> bytes:
    """The same in SPNEGO."""

    def element(tag: int, content: bytes) -> bytes:
        length = len(content)
        written = bytes([length]) if length < 128 else b"\x82" + length.to_bytes(2, "big")
        return bytes([tag]) + written + content

    mechanisms = element(0xA0, element(0x30, bytes.fromhex("06092a864886f712010202")))
    init = element(0xA0, element(0x30, mechanisms + element(0xA2, element(0x04, bare))))
    return element(0x60, bytes.fromhex("06062b0601050502") + init)


def test_a_library_that_hangs_holds_nobody_up_and_recovers(kdc: Kdc, tickets: Path, open_acceptor: Open, tmp_path: Path) -> None:
    clock = FixedClock(datetime.now(UTC))
    acceptor = open_acceptor(clock, timeout="2s", concurrency=1, breaker_failures=2)
    assert isinstance(answers(acceptor, kdc.offer(tickets)), Ticket)
    with (tmp_path / "replays").open("r+b") as cache:
        fcntl.lockf(cache, fcntl.LOCK_EX)  # somebody holds the library's file
        for _ in range(2):
            with pytest.raises(SourceUnreachable) as away:
                acceptor.accept(kdc.offer(tickets))
            assert away.value.trouble == "timeout"
        with pytest.raises(SourceUnreachable) as away:
            acceptor.accept(kdc.offer(tickets))
        assert away.value.trouble == "paused"
    clock.advance(timedelta(seconds=11))
    assert isinstance(answers(open_acceptor(clock), kdc.offer(tickets)), Ticket)
    assert isinstance(answers(acceptor, kdc.offer(tickets)), Ticket)


def test_a_keytab_replaced_under_its_name_is_read_at_once(kdc: Kdc, tickets: Path, open_acceptor: Open, tmp_path: Path) -> None:
    copy = tmp_path / "http.keytab"
    acceptor = open_acceptor(keytabs=[copy])
    token = kdc.offer(tickets)
    with pytest.raises(SourceMisbehaved):
        acceptor.accept(token)
    copy.write_bytes(kdc.keytab.read_bytes())
    assert isinstance(answers(acceptor, token), Ticket)


def test_a_refusal_shows_nothing_of_the_token(kdc: Kdc, tickets: Path, open_acceptor: Open) -> None:
    acceptor, token = open_acceptor(), kdc.offer(tickets)
    acceptor.accept(token)
    with pytest.raises(TicketRefused) as refused:
        acceptor.accept(token)
    assert token.hex()[200:260] not in repr(refused.value) + refused.value.detail
    assert refused.value.problem == "replayed"


def test_an_acceptor_that_is_closed_leaves_no_thread(kdc: Kdc, tickets: Path, open_acceptor: Open) -> None:
    acceptor = open_acceptor()
    acceptor.accept(kdc.offer(tickets))
    own = [thread for thread in threading.enumerate() if thread.name.startswith("kerberos-essai")]
    acceptor.close()
    for thread in own:
        thread.join(60)
    assert own
    assert not any(thread.is_alive() for thread in own)
