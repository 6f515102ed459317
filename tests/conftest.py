"""Fixtures that every test may use. `world` is a furnished Vestibule on a fixed clock; `make_world(**settings)` one with other settings."""

import gc
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

from connectors.base import Arrival
from connectors.entra.provider import EntraProvider
from connectors.entra.settings import EntraSettings
from idp.crypto import PasswordHasher
from tests.support.browser import Browser
from tests.support.entra import Entra, entra_serving
from tests.support.entra_journey import CALLBACK, sign_in
from tests.support.entra_people import SECRET
from tests.support.fixed_clock import FixedClock
from tests.support.kept import keep_addresses, keep_authorities, keep_statements, keep_templates
from tests.support.listener import Listener, listening
from tests.support.live import LiveServer, live_server
from tests.support.messaging import Messaging
from tests.support.migrated import Migrated
from tests.support.operator import Operator, furnish_operator, settle_operator
from tests.support.postgresql import PostgreSQLServer, postgresql_serving
from tests.support.redis import RedisServer, redis_serving
from tests.support.relying_party import RelyingParty
from tests.support.samba import Samba
from tests.support.samba_domain import Domain, shared_domain
from tests.support.scheduling import ServerScheduling
from tests.support.slapd import Slapd
from tests.support.sms_gateway import SmsGateway, sms_gateway_serving
from tests.support.smtp import SmtpServer, smtp_serving
from tests.support.stores import Stores
from tests.support.world import Furniture, World, furnish

MakeWorld = Callable[..., World]
OpenEntra = Callable[..., EntraProvider]
MakeRoom = Callable[..., Messaging]
# A test that asks for none of these, or that asks for the embedded files (mark `sqlite`), says nothing about the second pair of stores.
WITH_STORES = frozenset({"make_world", "live", "operator", "stores"})
PAIRS = ("sqlite", "postgresql")
CASES = 3
# How long an example takes, or is drawn for, says how busy the machine is: a fifth of a second each is refused otherwise.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """--stores: the pair of stores to run on."""
    default = os.environ.get("VESTIBULE_TEST_STORES", PAIRS[0])
    parser.addoption("--stores", choices=PAIRS, default=default, help="sqlite: embedded files; postgresql: PostgreSQL and Redis")
    parser.addoption("--every-case", action="store_true", help=f"on PostgreSQL and Redis, not {CASES} cases of each test alone")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ServerScheduling:
    """Files that need the same heavy server are run by one process."""
    return ServerScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow files first, so that no worker is left alone with one at the end.

    On the second pair, only the tests that it can change, and a few cases of each: what differs between them is what is asked, not where it is kept.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if "samba_domain" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))  # the first one makes the domain of the day, and those of other workers wait for it
    if config.getoption("--stores") == PAIRS[0]:
        return
    kept = [item for item in items if _depends_on_stores(item)]
    if not config.getoption("--every-case"):
        kept = _few_cases(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector, which would go through all of it again and again, leaves it alone, and comes less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _few_cases(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of each test the first case, the last, and those evenly between; all of one that has no more than that. In the order of the files."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    few = {one for each in cases.values() for one in (each if len(each) <= CASES else each[:: (len(each) - 1) // (CASES - 1)][:CASES])}
    return [item for item in items if item in few]


def _depends_on_stores(item: pytest.Item) -> bool:
    is_browser = "browser" in item.path.relative_to(Path(__file__).parent).parts
    asked = WITH_STORES.intersection(getattr(item, "fixturenames", ()))
    return bool(asked) and not is_browser and item.get_closest_marker("sqlite") is None


@pytest.fixture(scope="session", autouse=True)
def kept() -> Iterator[None]:
    """What every test would compile anew is compiled once."""
    with pytest.MonkeyPatch.context() as patched:
        keep_templates(patched)
        keep_statements(patched)
        keep_addresses(patched)
        keep_authorities(patched)
        yield


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """What nobody configured prints a traceback in colours, with the value of every variable: a second and a half of computing each."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, plain])


@pytest.fixture(scope="session", autouse=True)
def small_hashes() -> Iterator[None]:
    """Hashes of this process take 64 KiB once: tests look at how many are computed. Programs that tests start compute theirs as they do elsewhere,
    and so does a test that asks for `real_hashes`.
    """
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"memory_kib": 64, "iterations": 1}.items():
            patched.setitem(PasswordHasher.__init__.__kwdefaults__, name, value)
        yield


@pytest.fixture
def real_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes as they are computed elsewhere."""
    for name, value in {"memory_kib": 19_456, "iterations": 2}.items():
        monkeypatch.setitem(PasswordHasher.__init__.__kwdefaults__, name, value)


@pytest.fixture
def patient_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of the deliverer waits until every application has answered: how many it told is known when it returns."""
    monkeypatch.setattr("idp.oauth.delivery.PATIENCE", timedelta(seconds=60))


@pytest.fixture
def clock() -> FixedClock:
    """A clock that moves when told."""
    return FixedClock()


@pytest.fixture(scope="session")
def session_listener() -> Iterator[Listener]:
    """The one listener of a test session: its port is in the registrations."""
    with listening() as listener:
        yield listener


@pytest.fixture
def listener(session_listener: Listener) -> Listener:
    """An application's back-channel logout endpoint, nothing received yet."""
    session_listener.clear()
    return session_listener


@pytest.fixture(scope="session")
def postgresql_session() -> Iterator[PostgreSQLServer]:
    """One PostgreSQL for a test session."""
    with postgresql_serving() as server:
        yield server


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Migrated:
    """What makes empty stores of either kind migrated ones."""
    return Migrated(tmp_path_factory.mktemp("migrated"), lambda: request.getfixturevalue("postgresql_session"))


@pytest.fixture(scope="session")
def stores(request: pytest.FixtureRequest) -> Stores:
    """The pair of stores that this test session runs on."""
    if request.config.getoption("--stores") == "sqlite":
        return Stores()
    return Stores(request.getfixturevalue("postgresql_session"), request.getfixturevalue("redis_session"))


@pytest.fixture(scope="session")
def furniture(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener, stores: Stores) -> Furniture:
    """What every World is copied from."""
    return furnish(tmp_path_factory.mktemp("furniture"), FixedClock(), session_listener, stores=stores)


@pytest.fixture
def make_world(tmp_path: Path, furniture: Furniture, clock: FixedClock, listener: Listener) -> Iterator[MakeWorld]:
    """Make worlds with other settings; each call has its own folder."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        folder = tmp_path / f"world-{len(made)}"
        folder.mkdir()
        made.append(World(furniture, folder, clock=clock, listener=listener, settings=settings))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A Vestibule with the default settings."""
    return make_world()


@pytest.fixture
def browser(world: World) -> Browser:
    """A browser of the world, nobody signed in."""
    return world.browser()


@pytest.fixture
def carnet(world: World) -> RelyingParty:
    """The world's main application."""
    return world.relying_party("carnet")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener, stores: Stores) -> Iterator[LiveServer]:
    """A real `vestibule serve` for a module of tests."""
    with live_server(tmp_path_factory.mktemp("live"), session_listener, stores=stores) as server:
        yield server


@pytest.fixture(scope="session")
def operator_furniture(tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Path:
    """What every Operator's folder is copied from."""
    return furnish_operator(tmp_path_factory.mktemp("operator"), stores)


@pytest.fixture
def operator(tmp_path: Path, operator_furniture: Path, stores: Stores) -> Iterator[Operator]:
    """An operator at a terminal, with a migrated store and two establishments."""
    yield settle_operator(operator_furniture, tmp_path / "operator", stores)
    stores.remove(tmp_path / "operator")


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for a test session."""
    with redis_serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_session: RedisServer) -> RedisServer:
    """The session's Redis, empty."""
    redis_session.empty()
    return redis_session


@pytest.fixture(scope="session")
def session_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """The one OpenLDAP server of a test session."""
    server = Slapd(tmp_path_factory.mktemp("slapd"))
    yield server
    server.stop()


@pytest.fixture
def slapd(session_slapd: Slapd) -> Slapd:
    """An OpenLDAP server with its initial content (tests/support/slapd_cast.py says which), running."""
    session_slapd.reset()
    return session_slapd


@pytest.fixture(scope="session")
def samba_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    """The Active Directory domain that controllers are copied from."""
    domain = shared_domain(tmp_path_factory.mktemp("samba-domain"))
    yield domain
    domain.close()


@pytest.fixture(scope="session")
def session_samba(tmp_path_factory: pytest.TempPathFactory, samba_domain: Domain) -> Iterator[Samba]:
    """The one domain controller of a test session."""
    controller = Samba(samba_domain, tmp_path_factory.mktemp("samba") / "first")
    yield controller
    controller.close()


@pytest.fixture
def samba(session_samba: Samba) -> Samba:
    """A domain controller with its initial content (tests/support/samba_cast.py says which), running."""
    session_samba.reset()
    return session_samba


@pytest.fixture(scope="session")
def session_second_samba(tmp_path_factory: pytest.TempPathFactory, samba_domain: Domain) -> Iterator[Samba]:
    """A second controller of the same domain."""
    controller = Samba(samba_domain, tmp_path_factory.mktemp("samba") / "second")
    yield controller
    controller.close()


@pytest.fixture
def second_samba(session_second_samba: Samba) -> Samba:
    """The second controller with the same initial content, running; nothing is replicated between the two."""
    session_second_samba.reset()
    return session_second_samba


@pytest.fixture(scope="session")
def session_entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    """The one stand-in for Entra ID of a test session."""
    with entra_serving(tmp_path_factory.mktemp("entra")) as made:
        yield made


@pytest.fixture
def entra(session_entra: Entra, clock: FixedClock) -> Entra:
    """Entra ID and Graph over HTTPS, by the test's clock, as at first."""
    session_entra.reset(clock.now)
    return session_entra


@pytest.fixture
def open_entra(entra: Entra, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenEntra]:
    """Open connectors to it with other settings; they are called office."""
    opened: list[EntraProvider] = []
    monkeypatch.setenv("ENTRA_SECRET", SECRET)
    entra.registration.redirect_uris.add(CALLBACK)

    def make(**override: Any) -> EntraProvider:
        given = {"client_secret": "env:ENTRA_SECRET", "mfa_context": "c1", **override}
        opened.append(EntraProvider("office", EntraSettings(**entra.settings(**given)), clock))
        return opened[-1]

    yield make
    for provider in opened:
        provider.close()


@pytest.fixture
def entra_provider(open_entra: OpenEntra) -> EntraProvider:
    """A connector with the usual settings."""
    return open_entra()


@pytest.fixture
def nadia(entra_provider: EntraProvider, entra: Entra) -> Arrival:
    """A nurse who came by it."""
    return sign_in(entra_provider, entra)


@pytest.fixture(scope="session")
def session_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsGateway]:
    """The one SMS service of a test session."""
    with sms_gateway_serving(tmp_path_factory.mktemp("sms")) as made:
        yield made


@pytest.fixture
def gateway(session_gateway: SmsGateway) -> SmsGateway:
    """An SMS service over HTTPS, nothing received yet."""
    session_gateway.forget()
    return session_gateway


@pytest.fixture(scope="session")
def session_smtp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpServer]:
    """The one mail server of a test session."""
    with smtp_serving(tmp_path_factory.mktemp("smtp")) as server:
        yield server


@pytest.fixture
def smtp(session_smtp: SmtpServer) -> SmtpServer:
    """A mail server with StartTLS, nothing received yet."""
    session_smtp.forget()
    return session_smtp


@pytest.fixture
def make_room(make_world: MakeWorld) -> Iterator[MakeRoom]:
    """Make worlds with these settings, and what queues and sends their messages."""
    made: list[Messaging] = []

    def make(**settings: Any) -> Messaging:
        made.append(Messaging(make_world(**settings)))
        return made[-1]

    yield make
    for room in made:
        room.close()
