"""A directory that is stopped, hung, restarted or half gone in the middle of sign-ins: a reason each time, and nothing held up."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import ConnectorError, SourceUnreachable
from connectors.ldap.directory import LdapDirectory
from tests.support.fixed_clock import FixedClock
from tests.support.ldap_server import IMPATIENT
from tests.support.processes import free_port, wait_until
from tests.support.relay import relayed
from tests.support.slapd import PASSWORD, Slapd

PAUSE = timedelta(seconds=10)
Open = Callable[..., LdapDirectory]


@pytest.fixture
def clock() -> FixedClock:
    """It shows the real time at first, since slapd goes by it."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture
def opened(slapd: Slapd, clock: FixedClock) -> Iterator[Open]:
    made: list[LdapDirectory] = []

    def make(**override: Any) -> LdapDirectory:
        made.append(slapd.directory(clock, **override))
        return made[-1]

    yield make
    slapd.resume()
    for directory in made:
        directory.close()


def outcome(directory: LdapDirectory, uid: str = "d.claire") -> str:
    """How a sign-in went: `in`, or the trouble."""
    try:
        directory.authenticate(uid, PASSWORD)
    except SourceUnreachable as error:
        return error.trouble
    except ConnectorError as error:
        return type(error).__name__
    return "in"


def test_stopped_directory_is_told_left_alone_and_taken_back(opened: Open, slapd: Slapd, clock: FixedClock) -> None:
    directory = opened()
    assert outcome(directory) == "in"
    slapd.stop()
    assert [outcome(directory) for _ in range(5)] == ["refused", "refused", "refused", "paused", "paused"]
    slapd.start()
    assert outcome(directory) == "paused"
    clock.advance(PAUSE)
    assert [outcome(directory) for _ in range(3)] == ["in", "in", "in"]


def test_restarted_directory_is_not_even_noticed(opened: Open, slapd: Slapd) -> None:
    directory = opened()
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(lambda _: outcome(directory), range(8))) == {"in"}
    for _ in range(3):
        slapd.restart()
        assert outcome(directory) == "in", "the connections that were kept are closed; a fresh one is made"


# Python's own SSLSocket lets go of a socket without closing it when the peer resets the connection right before the handshake.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_restart_in_the_middle_of_sign_ins_lets_nobody_in_wrongly_and_recovers(opened: Open, slapd: Slapd, clock: FixedClock) -> None:
    directory = opened(breaker_failures=100)
    stop = threading.Event()
    seen: list[str] = []

    def sign_in_again_and_again() -> None:
        while not stop.is_set():
            seen.append(outcome(directory))
            stop.wait(0.01)

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(sign_in_again_and_again) for _ in range(3)]
        for _ in range(3):
            time.sleep(0.2)
            slapd.restart()
        time.sleep(0.2)
        stop.set()
        for future in running:
            future.result()
    assert "in" in seen
    assert set(seen) <= {"in", "refused", "closed", "tls_failed", "unavailable", "timeout"}
    assert outcome(directory) == "in"


def test_hung_directory_costs_one_timeout_for_a_few_and_nothing_after(opened: Open, slapd: Slapd, clock: FixedClock) -> None:
    directory = opened(concurrency=4, breaker_failures=3, connect_timeout="4s", receive_timeout="4s")
    assert outcome(directory) == "in"
    slapd.hang()
    begun = time.monotonic()
    with ThreadPoolExecutor(12) as threads:
        seen = list(threads.map(lambda _: outcome(directory), range(12)))
    took = time.monotonic() - begun
    assert set(seen) <= {"timeout", "busy", "paused"}
    assert seen.count("timeout") == 3, "no more than may ask at once: a slot is kept for look-ups"
    assert took < 20, "the settings wait four seconds to connect and four for an answer"
    begun = time.monotonic()
    assert {outcome(directory) for _ in range(100)} == {"paused"}
    assert time.monotonic() - begun < 15
    slapd.resume()
    clock.advance(PAUSE)
    assert outcome(directory) == "in"


def test_hung_directory_is_tried_by_one_when_the_pause_is_over(opened: Open, slapd: Slapd, clock: FixedClock) -> None:
    directory = opened(concurrency=4, breaker_failures=1, **IMPATIENT)
    assert outcome(directory) == "in"
    slapd.hang()
    assert outcome(directory) == "timeout"
    clock.advance(PAUSE)
    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(lambda _: outcome(directory), range(8)))
    assert sorted(seen) == ["paused"] * 7 + ["timeout"]


def test_wrong_passwords_do_not_pause_the_directory(opened: Open, slapd: Slapd) -> None:
    directory = opened(breaker_failures=1)
    for _ in range(5):
        assert outcome(directory, "nobody") == "CredentialsRefused"
    assert outcome(directory) == "in"


def test_everything_passes_the_guard(opened: Open, slapd: Slapd) -> None:
    directory = opened(breaker_failures=1)
    subject = slapd.subject("d.claire")
    slapd.stop()
    assert outcome(directory) == "refused"
    for ask in (
        lambda: directory.find(subject),
        lambda: directory.look_up("d.claire"),
        lambda: directory.change_password(subject, PASSWORD, new="Nouveau-Sentier-73"),
        directory.count,
        lambda: list(directory.people()),
    ):
        with pytest.raises(SourceUnreachable) as caught:
            ask()
        assert caught.value.trouble == "paused"


def test_second_server_is_asked_when_the_first_is_down(opened: Open, slapd: Slapd, clock: FixedClock) -> None:
    with relayed(slapd.tls_port) as second:
        directory = opened(servers=[slapd.ldaps, f"ldaps://127.0.0.1:{second.port}"])
        assert outcome(directory) == "in"
        assert second.sent == [], "the first one comes first"
        closed = opened(servers=[f"ldaps://127.0.0.1:{free_port()}", f"ldaps://127.0.0.1:{second.port}"])
        assert [outcome(closed) for _ in range(5)] == ["in"] * 5
        assert len(second.sent) == 6, "one for the service account, one for each person"
        closed.close()


def test_first_server_is_left_alone_for_a_while_and_then_preferred_again(opened: Open, slapd: Slapd, clock: FixedClock) -> None:
    with relayed(slapd.tls_port) as second:
        directory = opened(servers=[slapd.ldaps, f"ldaps://127.0.0.1:{second.port}"], receive_timeout="1s")
        assert outcome(directory) == "in"
        slapd.present(slapd.authority.sign_for_another())  # both are one slapd: spoil it and see both tried, in order
        assert outcome(directory) == "tls_name"
        tried = len(second.sent)
        assert tried == 1
        slapd.present(None)
        assert outcome(directory) == "in"
        first_again = len(second.sent)
        clock.advance(PAUSE)
        assert outcome(directory) == "in"
        assert len(second.sent) == first_again, "the first server, once its wait is over"
        directory.close()


def test_hung_first_server_costs_one_timeout_and_the_second_answers(
    opened: Open, slapd: Slapd, session_slapd: Slapd, tmp_path_factory: Any
) -> None:
    other = Slapd(tmp_path_factory.mktemp("second"))
    other.start()
    try:
        both = tmp_path_factory.mktemp("both") / "ca.pem"
        both.write_bytes(slapd.ca_file.read_bytes() + other.ca_file.read_bytes())
        directory = opened(servers=[slapd.ldaps, other.ldaps], ca_file=str(both), connect_timeout="3s", receive_timeout="3s")
        assert outcome(directory) == "in"
        slapd.hang()
        begun = time.monotonic()
        assert outcome(directory) == "in"
        assert time.monotonic() - begun < 15
        begun = time.monotonic()
        assert [outcome(directory) for _ in range(5)] == ["in"] * 5
        assert time.monotonic() - begun < 15, "the hung one is asked last for a while"
        directory.close()
    finally:
        other.stop()


def test_connections_are_kept_again_when_the_first_server_is_preferred_again(
    opened: Open, slapd: Slapd, clock: FixedClock, tmp_path: Path
) -> None:
    """Those to the server that stood in for it must not fill the places of those to be kept."""
    other = Slapd(tmp_path / "first")
    other.start()
    both = tmp_path / "ca.pem"
    both.write_bytes(slapd.ca_file.read_bytes() + other.ca_file.read_bytes())
    with relayed(other.tls_port) as first:
        directory = opened(servers=[f"ldaps://127.0.0.1:{first.port}", slapd.ldaps], ca_file=str(both), concurrency=1, **IMPATIENT)
        other.hang()
        assert [outcome(directory) for _ in range(2)] == ["in", "in"]
        other.resume()
        clock.advance(PAUSE)
        tried = len(first.sent)
        assert [outcome(directory) for _ in range(10)] == ["in"] * 10
        assert len(first.sent) - tried == 11, "one for the service account, one for each person"
        directory.close()
    other.stop()


def test_person_is_found_while_sign_ins_flood_a_slow_directory(opened: Open, slapd: Slapd) -> None:
    """Who is disabled must be heard of, however many strangers type at the sign-in page."""
    directory = opened(concurrency=3, breaker_failures=100, connect_timeout="40s", receive_timeout="40s")
    subject = slapd.subject("d.claire")
    assert outcome(directory) == "in"
    slapd.hang()
    with ThreadPoolExecutor(8) as threads:
        flood = [threads.submit(outcome, directory) for _ in range(8)]
        wait_until(lambda: sum(one.done() for one in flood) == 6, seconds=20)  # two are asking, the rest were told "busy"
        found = threads.submit(directory.find, subject)
        slapd.resume()
        assert found.result(60) is not None
        assert sorted(one.result(60) for one in flood) == ["busy"] * 6 + ["in"] * 2


def test_reader_of_everybody_is_told_when_the_directory_hangs_in_the_middle(opened: Open, slapd: Slapd) -> None:
    directory = opened(page_size=10, **IMPATIENT)
    for number in range(30):
        slapd.add_person(f"many{number:04}")
    reading = directory.people()
    next(reading)
    slapd.hang()
    with pytest.raises(SourceUnreachable):
        list(reading)
