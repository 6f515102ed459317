"""Where a request comes from, for the establishment that is active: the snapshot each process keeps, and what is concluded from it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.audit import Author, Origin
from idp.config import ZoneSettings
from idp.signin.whereabouts import Locator, told
from idp.store.database import Database
from idp.zones import end_zone, put_zone
from policies.zones import Whereabouts, WorkstationFacts
from tests.support.cast import AT_GLYCINES, AT_TILLEULS, OUTSIDE
from tests.support.fixed_clock import FixedClock
from tests.support.world import World

AUTHOR = Author("operator:essai", Origin("0123456789", "local"))
EGRESS = "203.0.113.9"


def put(world: World, slug: str, **zone: Any) -> str:
    """Add or change a zone, as a command does; its id."""
    settings = ZoneSettings.model_validate(zone)
    with world.arranging() as tx:
        put_zone(tx, world.establishment(slug), settings, AUTHOR, source="operator", clock=world.clock)
        found = tx.zones.named(world.establishment(slug).id, settings.name)
    assert found is not None
    return found.id


def where(
    world: World,
    address: str,
    slug: str | None = "tilleuls",
    *,
    has_attachment: bool = True,
    is_doubtful: bool = False,
    workstation: WorkstationFacts | None = None,
) -> Whereabouts:
    origin = Origin("0123456789", address, is_doubtful=is_doubtful)
    with world.database.read() as tx:
        return world.application.locator.where(
            tx,
            origin,
            establishment_id=world.establishment(slug).id if slug else None,
            has_attachment=has_attachment,
            workstation=workstation,
        )


def edge(world: World, address: str, *, is_doubtful: bool = False) -> tuple[str, str, str]:
    found = world.application.locator.at_edge(address, is_doubtful=is_doubtful)
    assert not found.is_inside
    return found.zone, found.kind, found.why


def test_an_address_is_inside_only_for_the_establishment_whose_network_it_is_and_whoever_is_attached_there(world: World) -> None:
    here = where(world, AT_TILLEULS)
    assert (here.zone, here.kind, here.why, here.is_inside, here.may_enrol) == ("tilleuls/lan", "trusted", "network_of_zone", True, True)
    for found, why in (
        (where(world, AT_TILLEULS, "glycines"), "zone_of_another_establishment"),
        (where(world, AT_GLYCINES), "zone_of_another_establishment"),
        (where(world, AT_TILLEULS, has_attachment=False), "attachment_not_valid"),
        (where(world, AT_TILLEULS, is_doubtful=True), "address_doubtful"),
        (where(world, OUTSIDE), "no_zone"),
        (where(world, ""), "no_zone"),
        (where(world, "local"), "no_zone"),
    ):
        assert (found.zone, found.kind, found.why, found.is_inside, found.may_enrol) == ("outside", "outside", why, False, False)
    assert not where(world, AT_TILLEULS, None).is_inside


def test_an_egress_is_inside_only_with_a_workstation_of_its_zone_or_the_declaration_and_never_for_enrolment(world: World) -> None:
    lan = world.establishment("tilleuls").id
    zone_id = put(world, "tilleuls", name="sortie", kind="trusted", networks=[EGRESS], egress=True)
    mine = WorkstationFacts(id="w", establishment_id=lan, zone_id=zone_id, is_shared=False)
    elsewhere = WorkstationFacts(id="w", establishment_id=lan, zone_id="another", is_shared=False)
    assert (where(world, EGRESS).why, where(world, EGRESS).is_inside) == ("egress_alone", False)
    assert not where(world, EGRESS, workstation=elsewhere).is_inside
    found = where(world, EGRESS, workstation=mine)
    assert (found.why, found.is_inside, found.may_enrol) == ("egress_with_workstation", True, False)
    # Alone it is nothing.
    assert not where(world, OUTSIDE, workstation=mine).is_inside
    assert not where(world, EGRESS, workstation=mine, has_attachment=False).is_inside
    assert not where(world, EGRESS, workstation=mine, is_doubtful=True).is_inside
    put(world, "tilleuls", name="sortie", kind="trusted", networks=[EGRESS], egress=True, guests_apart="Nadia, le 12 mars")
    found = where(world, EGRESS)
    assert (found.why, found.is_inside, found.may_enrol) == ("egress_with_declaration", True, False)


def test_a_decision_sees_a_change_at_once_and_the_edge_within_a_second(world: World) -> None:
    assert edge(world, OUTSIDE) == ("outside", "outside", "no_zone")
    other = world.application.locator
    with world.arranging() as tx:
        settings = ZoneSettings(name="annexe", kind="vpn", networks=(OUTSIDE,))  # type: ignore[arg-type]  # read by the model
        put_zone(tx, world.establishment("tilleuls"), settings, AUTHOR, source="operator", clock=world.clock)
    fresh = Locator(world.database, world.clock)
    assert fresh.at_edge(OUTSIDE, is_doubtful=False).zone == "tilleuls/annexe"
    assert edge(world, OUTSIDE)[0] == "outside"
    world.clock.advance(timedelta(seconds=1))
    assert edge(world, OUTSIDE) == ("tilleuls/annexe", "vpn", "network_of_zone")
    assert other is world.application.locator
    assert where(world, OUTSIDE).kind == "vpn"
    with world.arranging() as tx:
        place = world.establishment("tilleuls")
        zone = tx.zones.named(place.id, "annexe")
        assert zone is not None
        end_zone(tx, place, zone, AUTHOR, clock=world.clock)
    assert where(world, OUTSIDE).why == "no_zone"
    assert edge(world, OUTSIDE)[0] == "outside"  # what a decision has read, the edge knows too


def test_a_zone_counts_from_its_first_day_to_its_last(world: World) -> None:
    put(world, "tilleuls", name="salon", kind="trusted", networks=["192.168.77.0/24"], first_day="2026-11-24", last_day="2026-11-25")
    assert where(world, "192.168.77.5").why == "zone_not_valid_now"
    world.clock.advance(timedelta(hours=15))  # midnight in Paris
    assert where(world, "192.168.77.5").is_inside
    world.clock.advance(timedelta(days=2, microseconds=-1))
    assert where(world, "192.168.77.5").is_inside
    world.clock.advance(timedelta(microseconds=1))
    assert where(world, "192.168.77.5").why == "zone_not_valid_now"


def test_a_blocked_network_is_blocked_for_its_establishment_even_within_a_trusted_one(world: World) -> None:
    put(world, "tilleuls", name="visiteurs", kind="blocked", networks=["10.20.5.0/24"])
    found = where(world, "10.20.5.9")
    assert (found.zone, found.kind, found.why, found.is_inside) == ("tilleuls/visiteurs", "blocked", "blocked_network", False)
    assert edge(world, "10.20.5.9") == ("tilleuls/visiteurs", "blocked", "blocked_network")
    assert where(world, "10.20.6.9").is_inside


def test_the_edge_never_fails_and_asks_a_store_that_is_down_once_a_second(tmp_path: Path, clock: FixedClock) -> None:
    database = Database(f"sqlite:///{tmp_path}", synchronous="normal", busy_timeout_seconds=1, pool_size=1)  # a folder
    locator = Locator(database, clock)
    for _ in range(3):
        found = locator.at_edge(AT_TILLEULS, is_doubtful=False)
        assert (found.zone, found.why, found.is_inside) == ("outside", "zones_unknown", False)


def test_every_event_says_the_zone_and_how_it_was_concluded(world: World) -> None:
    for address, expected in (
        (AT_TILLEULS, ("tilleuls/lan", "trusted", "network_of_zone")),
        (AT_GLYCINES, ("glycines/lan", "trusted", "network_of_zone")),
        (OUTSIDE, ("outside", "outside", "no_zone")),
        ("10.20.3.4", ("tilleuls/lan", "trusted", "network_of_zone")),
        ("::1", ("tilleuls/lan", "trusted", "network_of_zone")),
        ("::ffff:10.20.3.4", ("tilleuls/lan", "trusted", "network_of_zone")),
        ("2001:db8::1", ("outside", "outside", "no_zone")),
    ):
        world.transport(address=address).post("/token", data={"grant_type": "authorization_code", "client_id": "nobody"})
        line = world.last_event("token.refused")
        assert (line["zone"], line["zone_kind"], line["zone_why"]) == expected


@pytest.mark.parametrize("header", [{}, {"X-Forwarded-For": "unknown"}, {"X-Forwarded-For": AT_TILLEULS}])
def test_a_proxy_that_hides_its_clients_makes_them_doubtful_even_when_it_stands_in_a_zone(make_world: Any, header: dict[str, str]) -> None:
    world: World = make_world(server={"trusted_proxies": [AT_TILLEULS]})
    world.transport(address=AT_TILLEULS).post("/token", data={"grant_type": "authorization_code"}, headers=header)
    line = world.last_event("token.refused")
    assert (line["address"], line["zone"], line["zone_kind"], line["zone_why"]) == (AT_TILLEULS, "outside", "outside", "address_doubtful")


def test_what_was_concluded_goes_with_the_origin(world: World) -> None:
    origin = told(Origin("0123456789", AT_TILLEULS), where(world, AT_TILLEULS))
    assert (origin.zone, origin.zone_kind, origin.zone_why, origin.address) == ("tilleuls/lan", "trusted", "network_of_zone", AT_TILLEULS)


@pytest.mark.parametrize(
    ("person", "address", "slug"), [("claire", AT_GLYCINES, "tilleuls"), ("amina", AT_TILLEULS, "glycines"), ("amina", OUTSIDE, "tilleuls")]
)
def test_a_person_on_the_network_of_another_establishment_is_asked_as_anywhere_outside(
    world: World, person: str, address: str, slug: str
) -> None:
    browser = world.browser(address=address)
    page = browser.get(world.relying_party("carnet").begin(establishment=slug))
    assert browser.sign_in(world.person(person).username, world.password, page=page).callback is None
    assert world.events("token.issued") == []


def test_the_same_person_is_inside_where_the_active_establishment_is(world: World) -> None:
    for slug, address in (("tilleuls", AT_TILLEULS), ("glycines", AT_GLYCINES)):
        world.sign_in("amina", browser=world.browser(address=address), establishment=slug)
        line = world.last_event("signin.succeeded")
        assert (line["zone"], line["zone_kind"], line["zone_why"]) == (f"{slug}/lan", "trusted", "network_of_zone")
