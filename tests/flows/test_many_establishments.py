"""A group of 400 homes, a file each: checked, served, changed while it runs and chosen from on a phone; and a sign-in costs no more than in four."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import event

from idp.audit import Author, Origin
from idp.clock import SystemClock
from idp.config import EstablishmentSettings, check, load
from idp.registry import Applied, apply, put_establishment
from idp.store.base import Attachment
from tests.flows.test_reload import reload
from tests.support.browser import Page
from tests.support.cast import AT_TILLEULS
from tests.support.group import finess, home, slug, write_home, write_homes
from tests.support.listener import Listener
from tests.support.live import LiveServer, live_server
from tests.support.operator import Operator
from tests.support.world import World, open_database

HOMES = 400
AUTHOR = Author("operator:test", Origin("0123456789", "local"))


@pytest.fixture
def group(operator: Operator) -> Operator:
    """400 homes in 400 files."""
    write_homes(operator.folder, HOMES)
    operator.configure(include=["homes/*.yaml"])
    return operator


def start(operator: Operator) -> Applied:
    """What a server does with the configuration when it starts."""
    config = load(operator.config_path)
    database = open_database(config)
    try:
        return apply(database, config, AUTHOR, clock=SystemClock())
    finally:
        database.close()


def test_operator_checks_a_group_of_400_files_and_is_told_which_one_is_wrong(group: Operator) -> None:
    config, findings = check(group.config_path)
    assert config is not None
    assert ([str(one) for one in findings], len(config.establishments)) == ([], HOMES)
    wrong = group.folder / "homes" / f"{slug(250)}.yaml"
    wrong.write_text(wrong.read_text(encoding="utf-8").replace("finess: '69", "finess: 'X9"), encoding="utf-8")
    overlapping = home(251)
    overlapping["zones"][0]["networks"] = home(7)["zones"][0]["networks"]
    _write(group.folder / "homes" / f"{slug(251)}.yaml", overlapping)
    said = [str(one) for one in check(group.config_path)[1]]
    assert any(line.startswith(f"error: homes/{slug(250)}.yaml: establishments[0].finess: ") for line in said), said
    assert any(f"homes/{slug(251)}.yaml" in line and slug(7) in line for line in said), said


def test_second_start_writes_nothing_when_nothing_has_changed(group: Operator) -> None:
    first = start(group)
    assert (first.is_new, len(first.changed)) == (True, HOMES)
    before = len(group.events())
    assert start(group) == Applied()
    assert len(group.events()) == before
    write_home(group.folder, 42, "Résidence des Quarante-Deux")
    (group.folder / "homes" / f"{slug(43)}.yaml").unlink()
    again = start(group)
    assert (again.changed, again.withdrawn) == ([slug(42)], [slug(43)])
    with group.looking() as tx:
        assert len(tx.zones.open_with_slugs()) == 4 * (HOMES - 1)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_running_group_takes_one_more_home_when_it_is_reloaded(tmp_path: Path, session_listener: Listener) -> None:
    write_homes(tmp_path, HOMES)
    with live_server(tmp_path, session_listener, {"include": ["homes/*.yaml"]}) as server:
        assert "Résidence n° 399" in _front_page(server, slug(399))
        write_home(tmp_path, HOMES)
        write_home(tmp_path, 3, "Résidence des Trois")
        done = reload(server)
        assert done.returncode == 0, done.stdout
        assert "2 of its establishments and applications changed" in done.stdout
        assert f"Résidence n° {HOMES}" in _front_page(server, slug(HOMES))


@pytest.fixture
def many(world: World) -> World:
    """The world with 400 homes more, at all of which Amina works."""
    with world.arranging() as tx:
        account = world.account("amina").id
        for number in range(HOMES):
            place = _add_home(world, tx, number)
            tx.people.attach(
                Attachment(
                    id=world.clock.new_id(),
                    account_id=account,
                    establishment_id=place,
                    profile="manager",
                    sector=None,
                    first_day=None,
                    last_day=None,
                    valid_from=None,
                    valid_until=None,
                    created_at=world.clock.now(),
                    ended_at=None,
                )
            )
    return world


def test_manager_of_many_homes_finds_hers_by_a_part_of_its_name(many: World) -> None:
    browser = many.browser(address=AT_TILLEULS)
    page = browser.get(many.relying_party().begin())
    page = browser.sign_in("amina.benali", many.password, page=page)
    assert "Chercher un établissement par son nom" in page.text
    assert "establishment-form" not in page.forms  # nothing was used before, and nobody reads 402 buttons
    page = browser.submit("establishment-search", home="  TILLEULS ")
    assert "1 établissement trouvé" in page.text
    page = browser.submit("establishment-form", button="tilleuls")
    assert page.callback is not None
    assert many.relying_party().metadata  # the sign-in came back to the application


@pytest.mark.parametrize(
    ("typed", "found", "says"),
    [
        ("residence 39", 14, "14 établissements trouvés"),  # neither accents nor capitals count: 39, 139, 239, 339, 390 to 399
        (finess(7), 1, "1 établissement trouvé"),
        ("glyc", 1, "1 établissement trouvé"),
        ("Résidence", 40, "360 autres s’appellent ainsi"),
        ("trifouillis", 0, "Aucun de vos établissements"),
        ("<b>", 0, "<b>"),
        ("x" * 500, 0, "x" * 80),
    ],
)
def test_what_is_typed_narrows_the_list(many: World, typed: str, found: int, says: str) -> None:
    browser = many.browser(address=AT_TILLEULS)
    browser.sign_in("amina.benali", many.password, page=browser.get(many.relying_party().begin()))
    page = browser.submit("establishment-search", home=typed)
    assert says in page.text
    assert _offered(page) == found


def test_manager_sees_all_of_them_or_the_last_one_when_she_wants(many: World) -> None:
    browser = many.browser(address=AT_TILLEULS)
    page = browser.sign_in("amina.benali", many.password, page=browser.get(many.relying_party().begin()))
    page = browser.get(f"{page.url}?homes=all")
    assert _offered(page) == HOMES + 2
    page = browser.submit("establishment-form", button="tilleuls")
    assert page.callback is not None
    other = many.browser(address=AT_TILLEULS)
    page = other.sign_in("amina.benali", many.password, page=other.get(many.relying_party().begin()))
    assert page.forms["establishment-form"].buttons == [("establishment", "tilleuls", "Les Tilleuls Le dernier utilisé")]
    page = browser.get("/account?home=glycines")
    assert [button[1] for button in page.forms["change-establishment-form"].buttons] == ["glycines"]


def test_token_of_a_manager_of_many_homes_stays_small_and_userinfo_names_them_all(many: World) -> None:
    signed_in = many.sign_in("amina", scope="openid establishment establishments", establishment="tilleuls")
    assert "attachments" not in signed_in.tokens.claims
    assert len(signed_in.tokens.identity) < 2_000
    assert len(signed_in.party.userinfo(signed_in.tokens.access).json()["attachments"]) == HOMES + 2


@pytest.mark.sqlite
@pytest.mark.parametrize("person", ["claire", "amina"])
def test_sign_in_costs_as_many_statements_in_400_homes_as_in_four(world: World, person: str) -> None:
    """Claire works in one home, Amina in two; the others are there, and cost neither of them anything."""

    def statements() -> list[str]:
        with _counting(world) as seen:
            signed_in = world.sign_in(person, scope="openid profile establishment establishments", establishment="tilleuls")
            signed_in.party.userinfo(signed_in.tokens.access)
            signed_in.party.refresh(signed_in.tokens.refresh)
        return list(seen)

    with world.arranging() as tx:
        for number in range(2):
            _add_home(world, tx, number)
    statements()  # what is read once a process
    in_four = statements()
    with world.arranging() as tx:
        for number in range(2, HOMES - 2):
            _add_home(world, tx, number)
    statements()
    assert len(statements()) == len(in_four)


@pytest.mark.sqlite
def test_sign_in_of_somebody_of_400_homes_costs_no_statement_a_home(many: World) -> None:
    scope = "openid establishment establishments"
    many.sign_in("amina", scope=scope, establishment="tilleuls")
    many.sign_in("claire", scope=scope)
    with _counting(many) as seen:
        many.sign_in("claire", scope=scope)
    of_one = len(seen)
    with _counting(many) as seen:
        many.sign_in("amina", scope=scope, establishment="tilleuls")
    assert len(seen) <= of_one + 4


def _offered(page: Page) -> int:
    return len(page.forms["establishment-form"].buttons) if "establishment-form" in page.forms else 0


def _write(path: Path, one: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump({"establishments": [one]}, allow_unicode=True), encoding="utf-8")


def _front_page(server: LiveServer, establishment: str) -> str:
    return server.browser().get(f"/?establishment={establishment}").text


def _add_home(world: World, tx: Any, number: int) -> str:
    settings = EstablishmentSettings.model_validate({**home(number), "regulatory_level": "tolerant"})
    put_establishment(tx, settings, AUTHOR, source="operator", clock=world.clock)
    found = tx.establishments.by_slug(settings.slug)
    assert found is not None
    return str(found.id)


class _Seen(list[str]):
    """Statements that the application's own connections have run."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.database = world.application.database
        self.is_on = False

    def __enter__(self) -> "_Seen":
        event.listen(self.database.engine, "connect", self._trace)
        open_ones = [self.database.take() for _ in range(8)]
        for connection in open_ones:
            self._trace(connection.connection.driver_connection)
            self.database.give_back(connection)
        self.clear()
        self.is_on = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_on = False
        event.remove(self.database.engine, "connect", self._trace)

    def _trace(self, connection: Any, _record: object = None) -> None:
        connection.set_trace_callback(lambda text: self.append(text) if self.is_on else None)


def _counting(world: World) -> _Seen:
    return _Seen(world)
