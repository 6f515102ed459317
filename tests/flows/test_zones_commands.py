"""`vestibule zone` and `vestibule workstation` at a terminal, and the self-check of the network."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from idp.audit import Event, EventType, Origin
from idp.store.database import Transaction
from idp.work import Worker
from tests.support.operator import ACTOR, Operator
from tests.support.world import World

LAN = ("zone", "add", "tilleuls", "lan", "--kind", "trusted", "--network", "10.1.0.0/16")


def test_operator_adds_changes_lists_and_ends_a_zone(operator: Operator) -> None:
    assert operator.do(*LAN, "--network", "fd00:1::/32", "--last-day", "31/12/2030") == "tilleuls/lan added\n"
    (row,) = operator.ask("zone", "list", "--json")
    assert (row["zone"], row["kind"], row["networks"], row["source"]) == (
        "tilleuls/lan",
        "trusted",
        ["10.1.0.0/16", "fd00:1::/32"],
        "operator",
    )
    assert (row["first_day"], row["last_day"], row["egress"]) == (None, "2030-12-31", False)
    line = operator.last_event("zone.changed")
    assert (line["actor"], line["details"]["zone"], line["details"]["changed"]) == (ACTOR, "tilleuls/lan", "added")
    assert operator.do(*LAN) == "tilleuls/lan changed\n"
    assert operator.do(*LAN) == "tilleuls/lan: nothing to change\n"
    assert "tilleuls/lan" in operator.do("zone", "list")
    assert operator.ask("zone", "list", "--establishment", "glycines", "--json") == []
    assert operator.do("zone", "end", "tilleuls", "lan", "--yes").startswith("tilleuls/lan ended: 0 workstations")
    assert operator.ask("zone", "list", "--json") == []
    assert operator.last_event("zone.changed")["details"]["changed"] == "ended"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tilleuls", "lan", "--kind", "trusted", "--network", "0.0.0.0/0"), "wider than /8"),
        (("tilleuls", "lan", "--kind", "trusted", "--network", "203.0.113.9"), "only as an egress"),
        (("tilleuls", "lan", "--kind", "trusted", "--network", "10.2.0.0/16", "--guests-apart", "Nadia"), "egress only"),
        (("tilleuls", "Lan", "--kind", "trusted", "--network", "10.2.0.0/16"), "pattern"),
        (("tilleuls", "lan", "--kind", "trusted", "--network", "10.2.0.0/16", "--first-day", "hier"), "is not a day"),
        (("nulle-part", "lan", "--kind", "trusted", "--network", "10.2.0.0/16"), "no establishment nulle-part"),
        (("glycines", "lan", "--kind", "trusted", "--network", "10.1.3.0/24"), "cannot be told apart"),
        (("tilleuls", "autre", "--kind", "vpn", "--network", "10.1.0.0/16"), "cannot be told"),
        (("tilleuls", "mandataire", "--kind", "trusted", "--network", "10.7.0.0/16"), "overlaps the trusted proxy 10.7.0.1/32"),
    ],
)
def test_operator_is_refused_a_zone_that_means_nothing(operator: Operator, arguments: tuple[str, ...], says: str) -> None:
    operator.configure(server={"trusted_proxies": ["10.7.0.1"]})
    operator.do(*LAN)
    before = len(operator.events("zone.changed"))
    assert says in operator.refused("zone", "add", *arguments)
    assert len(operator.events("zone.changed")) == before


def test_operator_is_warned_that_guests_may_leave_by_the_same_address(operator: Operator) -> None:
    added = operator.run("zone", "add", "tilleuls", "sortie", "--kind", "trusted", "--network", "203.0.113.9", "--egress")
    assert (added.exit_code, added.stdout) == (0, "tilleuls/sortie added\n")
    assert "only on enrolled workstations" in added.stderr


def test_operator_sees_what_the_file_cannot_when_zones_come_from_two_places(operator: Operator) -> None:
    operator.do(*LAN)
    assert operator.do("zone", "check").startswith("1 zones, nothing wrong")
    operator.configure(server={"trusted_proxies": ["10.1.0.7"]})
    found = operator.run("zone", "check", "--json")
    assert found.exit_code == 1
    assert "overlaps the trusted proxy 10.1.0.7/32" in found.stdout


def test_operator_makes_a_pass_that_is_shown_once_and_kept_nowhere(operator: Operator) -> None:
    operator.do(*LAN)
    made = operator.run("workstation", "pass", "tilleuls", "--zone", "lan", "--name", "Poste de  soins 2", "--shared")
    code = made.stdout.strip()
    assert made.exit_code == 0
    assert "http://127.0.0.1:8499/workstation, within 15m" in made.stderr
    line = operator.last_event("pass.issued")
    assert (line["actor"], line["details"]["purpose"], line["details"]["label"]) == (ACTOR, "workstation", "Poste de soins 2")
    assert code not in str(operator.events())
    with operator.looking() as tx:
        assert tx.passes.get(code) is None
        assert tx.workstations.open() == ()
    assert operator.ask("workstation", "list", "--json") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tilleuls", "--zone", "cave", "--name", "Poste"), "no zone cave at tilleuls; it has: lan"),
        (("nulle-part", "--zone", "lan", "--name", "Poste"), "no establishment nulle-part"),
        (("tilleuls", "--zone", "lan", "--name", "  "), "1 to 80 characters"),
        (("tilleuls", "--zone", "lan", "--name", "P" * 81), "1 to 80 characters"),
    ],
)
def test_operator_is_refused_a_pass_for_nowhere(operator: Operator, arguments: tuple[str, ...], says: str) -> None:
    operator.do(*LAN)
    assert says in operator.refused("workstation", "pass", *arguments)
    assert operator.events("pass.issued") == []
    assert "no workstation ABC" in operator.refused("workstation", "revoke", "ABC", "--yes")


# The self-check


@pytest.fixture
def worker(world: World) -> Iterator[Worker]:
    """The one worker, which holds the lease."""
    made = Worker(world.application)
    made.stand()
    yield made
    made.deliverer.close()


def signed_in(tx: Transaction, world: World, address: str, *, people: int, slug: str = "tilleuls", why: str = "no_zone") -> None:
    """A sign-in of each of so many people from one address."""
    for number in range(people):
        origin = Origin("0123456789", address, (address,), zone_why=why)
        place = world.establishment(slug).id
        person = f"{slug}-{address}-{number}"[:36]
        tx.events.append(
            Event(
                type=EventType.SIGNIN_SUCCEEDED,
                at=world.clock.now(),
                actor="system",
                origin=origin,
                account_id=person,
                establishment_id=place,
            )
        )


def suspected(world: World) -> list[tuple[str, str]]:
    return [(line["reason"], line["details"]["address"]) for line in world.events("network.suspicious")]


def test_worker_says_once_a_day_that_everybody_seems_to_come_from_one_address(world: World, worker: Worker) -> None:
    with world.arranging() as tx:
        signed_in(tx, world, "192.168.0.1", people=40)
        signed_in(tx, world, "198.51.100.4", people=2)
    assert worker.check_network() == 1
    assert suspected(world) == [("one_address", "192.168.0.1")]
    assert b"vestibule_network_suspicious 1.0" in world.application.metrics.render()
    world.clock.advance(timedelta(hours=23))
    assert worker.check_network() == 0
    with world.arranging() as tx:
        signed_in(tx, world, "192.168.0.1", people=40)
    world.clock.advance(timedelta(hours=2))
    assert worker.check_network() == 1
    world.clock.advance(timedelta(hours=25))
    assert worker.check_network() == 0
    assert b"vestibule_network_suspicious 0.0" in world.application.metrics.render()


def test_worker_says_that_a_proxy_names_nobody(world: World, worker: Worker) -> None:
    with world.arranging() as tx:
        for proxy in ("10.0.0.1", "10.0.0.2"):
            signed_in(tx, world, proxy, people=15, why="address_doubtful")
    assert worker.check_network() == 1
    assert suspected(world) == [("clients_hidden", "10.0.0.1")]


def test_worker_says_nothing_of_few_people_many_addresses_or_one_site_that_leaves_by_its_egress(world: World, worker: Worker) -> None:
    with world.arranging() as tx:
        signed_in(tx, world, "192.168.0.1", people=12)
    assert worker.check_network() == 0
    with world.arranging() as tx:
        for last in range(1, 30):
            signed_in(tx, world, f"10.20.0.{last}", people=1)
    assert worker.check_network() == 0
    world.clock.advance(timedelta(days=2))
    with world.arranging() as tx:
        zone = tx.zones.of(world.establishment("tilleuls").id)[0]
        tx.zones.change(zone.id, {"networks": ("203.0.113.9/32",), "is_egress": True})
        tx.revisions.advance("zones")
        signed_in(tx, world, "203.0.113.9", people=60)
    assert worker.check_network() == 0
    with world.arranging() as tx:
        signed_in(tx, world, "203.0.113.9", people=60, slug="glycines")
    assert worker.check_network() == 1  # two establishments never leave by one site's address


def test_operator_asks_the_same_of_the_store(operator: Operator) -> None:
    assert "nothing wrong" in operator.do("zone", "check")
