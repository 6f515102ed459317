"""Nobody makes us speak to what only we can reach: by an address, by a name, by a name that changes its mind, or by a redirect.

Logout tokens and Security Event Tokens go out the same way. Names are answered here by a function, addresses are real.
"""

import ssl
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import httpx
import pytest

from idp import app as composition
from idp.composition.cut import open_deliverer
from idp.egress import AddressRefused, GuardedTransport, look_up
from idp.oauth.delivery import Deliverer
from policies.egress import Address
from tests.conftest import MakeWorld
from tests.flows.test_signals import allow, cut, drain, notices
from tests.support.certificates import PrivateAuthority
from tests.support.listener import Listener
from tests.support.operator import Operator
from tests.support.set_receiver import RISC, Ear, Receiver, hearing
from tests.support.world import World

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def ear() -> Iterator[Ear]:
    """What must not be reached."""
    with hearing() as ear:
        yield ear


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """No private network is allowed."""
    world = make_world(egress={"networks": []})
    allow(world, "carnet", "ssf.manage")
    return world


@pytest.fixture
def worker(world: World) -> Iterator[Deliverer]:
    """What sends the outbox."""
    deliverer = open_deliverer(composition.build(world.config, world.clock))
    yield deliverer
    deliverer.close()


def answers(*addresses: str) -> "Names":
    """A resolver that says each in turn, then the last again."""
    return Names([(ip_address(one),) for one in addresses])


class Names:
    """A resolver of the test's own; `asked` counts."""

    def __init__(self, said: list[tuple[Address, ...]]) -> None:
        self.said = said
        self.asked = 0

    def __call__(self, host: str, port: int) -> tuple[Address, ...]:
        """See idp.egress.Resolve."""
        self.asked += 1
        return self.said[min(self.asked, len(self.said)) - 1]


def test_logout_token_is_not_sent_to_a_private_address_when_none_is_allowed(world: World, worker: Deliverer, listener: Listener) -> None:
    signed_in = world.sign_in()
    signed_in.browser.get(signed_in.party.sign_out_url(id_token_hint=signed_in.tokens.identity))
    drain(world, worker)
    assert not listener.received
    with world.database.read() as tx:
        (kept,) = tx.outbox.recent()
    assert kept.receipt == "127.0.0.1 may not be reached (egress.networks)"
    line = world.last_event("logout.")
    assert (line["type"], line["reason"]) == ("logout.retried", "address_not_allowed")
    for pause in world.config.logout.retries:
        world.clock.advance(pause)
        drain(world, worker)
    line = world.last_event("logout.")
    assert (line["type"], line["reason"]) == ("logout.abandoned", "address_not_allowed")


def test_event_is_not_pushed_to_a_name_that_is_a_private_address(world: World, worker: Deliverer, ear: Ear) -> None:
    receiver = Receiver(world)
    delivery = {"method": "urn:ietf:rfc:8935", "endpoint_url": f"https://localhost:{ear.port}/events"}
    receiver.create(delivery=delivery, events_requested=[f"{RISC}account-disabled"])
    world.sign_in()
    cut(world)
    drain(world, worker)
    assert not ear.pushed
    (kept,) = notices(world)
    assert "may not be reached" in str(kept.receipt)
    line = world.last_event("signal.")
    assert (line["type"], line["reason"]) == ("signal.retried", "address_not_allowed")


def test_stream_cannot_even_be_made_for_a_private_address(world: World, ear: Ear) -> None:
    receiver = Receiver(world)
    delivery = {"method": "urn:ietf:rfc:8935", "endpoint_url": ear.url}
    answer = receiver.send("POST", receiver.metadata["configuration_endpoint"], {"delivery": delivery})
    assert answer.status_code == 400
    assert world.last_event("stream.refused")["reason"] == "address_not_allowed"


def test_name_is_looked_up_once_and_what_was_judged_is_what_is_reached(ear: Ear) -> None:
    names = answers("127.0.0.1", "10.0.0.1")
    with httpx.Client(transport=GuardedTransport(LOOPBACK, resolve=names)) as client:
        assert client.post(f"http://carnet.example:{ear.port}/events", content=b"x").status_code == 202
        assert names.asked == 1
        with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
            client.post(f"http://carnet.example:{ear.port}/events", content=b"x")
    assert ear.pushed[0].headers["host"] == f"carnet.example:{ear.port}"
    assert len(ear.pushed) == 1


def test_name_with_one_private_address_among_public_ones_is_refused_whole(ear: Ear) -> None:
    names = Names([(ip_address("93.184.216.34"), ip_address("127.0.0.1"))])
    with httpx.Client(transport=GuardedTransport((), resolve=names)) as client, pytest.raises(AddressRefused):
        client.post(f"http://carnet.example:{ear.port}/events", content=b"x")
    assert not ear.pushed


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]"])
def test_other_ways_to_write_loopback_are_loopback(ear: Ear, host: str) -> None:
    with (
        httpx.Client(transport=GuardedTransport(()), timeout=5) as client,
        pytest.raises((AddressRefused, httpx.TransportError, httpx.InvalidURL)),
    ):
        client.post(f"http://{host}:{ear.port}/events", content=b"x")
    assert not ear.pushed


def test_second_address_is_tried_when_nobody_listens_on_the_first(ear: Ear) -> None:
    names = Names([(ip_address("127.0.0.99"), ip_address("127.0.0.1"))])
    with httpx.Client(transport=GuardedTransport(LOOPBACK, resolve=names), timeout=5) as client:
        assert client.post(f"http://carnet.example:{ear.port}/events", content=b"x").status_code == 202


def test_name_that_is_nobodys_is_an_error_of_the_connection() -> None:
    with pytest.raises(httpx.ConnectError):
        look_up("nobody.invalid", 443)


def test_proxy_of_the_environment_is_not_asked_to_go_where_we_may_not(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{ear.port}")
    with httpx.Client(transport=GuardedTransport(()), trust_env=False, timeout=10) as client:
        for url in ("http://10.0.0.1/", "https://169.254.169.254/latest", "http://0.0.0.0/", "http://[64:ff9b::a00:1]/"):
            with pytest.raises(AddressRefused):
                client.post(url, content=b"x")
    assert not ear.pushed


def test_redirect_to_a_private_address_is_an_answer_and_nothing_more(ear: Ear) -> None:
    ear.answers[:] = [(307, None)]
    ear.location = "http://169.254.169.254/latest"
    with httpx.Client(transport=GuardedTransport(LOOPBACK), trust_env=False, timeout=10) as client:
        assert client.post(ear.url, content=b"x").status_code == 307
    assert len(ear.pushed) == 1


@pytest.mark.parametrize(("name", "is_taken"), [("carnet.example", True), ("autre.example", False)])
def test_certificate_must_be_that_of_the_name_though_the_address_is_what_is_dialled(tmp_path: Path, name: str, is_taken: bool) -> None:
    authority = PrivateAuthority(tmp_path)
    certificate = authority.sign("carnet", names=("carnet.example",), addresses=())
    trusted = httpx.HTTPTransport(verify=ssl.create_default_context(cafile=authority.ca_file), trust_env=False)
    names = Names([(ip_address("127.0.0.1"),)])
    with (
        hearing(certificate) as ear,
        httpx.Client(transport=GuardedTransport(LOOPBACK, resolve=names, inner=trusted), timeout=10) as client,
    ):
        if is_taken:
            assert client.post(f"https://{name}:{ear.port}/events", content=b"x").status_code == 202
        else:
            with pytest.raises(httpx.ConnectError, match=r"Hostname mismatch"):
                client.post(f"https://{name}:{ear.port}/events", content=b"x")
    assert len(ear.pushed) == is_taken


@pytest.mark.parametrize(
    ("uri", "networks", "is_told"),
    [
        ("https://10.20.0.5/sortie", [], False),
        ("https://10.20.0.5/sortie", ["10.20.0.0/16"], True),
        ("https://[fd12::5]/sortie", [], False),
        ("https://carnet.example/sortie", [], True),
    ],
)
def test_operator_is_warned_of_an_address_that_would_never_be_told(
    operator: Operator, uri: str, networks: list[str], is_told: bool
) -> None:
    operator.configure(egress={"networks": networks})
    address = ("--redirect-uri", "https://carnet.example/retour", "--backchannel-logout-uri", uri)
    added = operator.run("client", "add", "notes", "--name", "Notes", *address, "--json")
    assert added.exit_code == 0, added.output
    assert ("outside egress.networks" in added.stderr) is not is_told
    client = {"client_id": "carnet", "name": "C", "redirect_uris": ["https://carnet.example/retour"], "backchannel_logout_uri": uri}
    operator.configure(egress={"networks": networks}, clients=[{**client, "secret": "file:carnet.secret"}])
    (operator.folder / "carnet.secret").write_text("x" * 40, encoding="utf-8")
    found = operator.ask("check-config", "--json")
    assert ("clients[0].backchannel_logout_uri" in {one["path"] for one in found}) is not is_told
