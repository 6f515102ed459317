"""Zones in the configuration file: what check-config says of them, and what a start makes of them in the store."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from idp.audit import Author, Origin
from idp.clock import SystemClock
from idp.config import check, load
from idp.registry import Applied, apply
from idp.store.database import Database
from tests.support.operator import Operator
from tests.support.pens import pens_of

AUTHOR = Author("operator:test", Origin("0123456789", "local"))
LAN = {"name": "lan", "kind": "trusted", "networks": ["10.1.0.0/16"]}


def home(slug: str = "lilas", *zones: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "slug": slug,
        "name": slug.title(),
        "contact": {"phone": "01 02 03 04 05"},
        "regulatory_level": "rie-2026",
        "zones": list(zones),
        **more,
    }


def found(folder: Path, *homes: dict[str, Any], proxies: tuple[str, ...] = ("192.0.2.80",), **more: Any) -> list[str]:
    base = {"issuer": "https://connexion.example", "master_key": "env:TEST_MASTER_KEY", "server": {"trusted_proxies": list(proxies)}}
    path = folder / "vestibule.yaml"
    path.write_text(yaml.safe_dump({**base, "establishments": list(homes), **more}), encoding="utf-8")
    return [str(finding) for finding in check(path)[1]]


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MASTER_KEY", "k" * 43)


@pytest.mark.parametrize(
    ("zone", "says"),
    [
        ({"networks": ["0.0.0.0/0"]}, "wider than /8"),
        ({"networks": ["10.0.0.0/7"]}, "wider than /8"),
        ({"networks": ["::/0"]}, "wider than /16"),
        ({"networks": ["2000::/3"]}, "wider than /16"),
        ({"networks": ["::ffff:10.0.0.0/104"]}, "write them as IPv4"),
        ({"networks": ["10.0.0.1/8"]}, "is not a network"),
        ({"networks": ["10.1.0.0/16", "localhost"]}, "is not a network"),
        ({"networks": []}, "at least 1"),
        ({"networks": ["203.0.113.0/28"]}, "only as an egress"),
        ({"networks": ["10.1.0.0/16", "2001:db8:7::/48"]}, "2001:db8:7::/48: addresses of the internet"),
        ({"kind": "shared-workstation", "networks": ["203.0.113.4"]}, "only as an egress"),
        ({"kind": "vpn", "egress": True}, "no use on a vpn zone"),
        ({"kind": "blocked", "egress": True}, "no use on a blocked zone"),
        ({"kind": "safe"}, "trusted"),
        ({"guests_apart": "Nadia, le 12 mars"}, "egress only"),
        ({"first_day": "2026-12-01", "last_day": "2026-11-30"}, "before first_day"),
        ({"name": "Rez de jardin"}, "pattern"),
        ({"name": "a/b"}, "pattern"),
        ({"trust": True}, "does not exist"),
    ],
)
def test_operator_is_told_what_is_wrong_with_one_zone(tmp_path: Path, zone: dict[str, Any], says: str) -> None:
    lines = found(tmp_path, home("lilas", {**LAN, **zone}))
    assert any(line.startswith("error: establishments[0].zones[0]") and says in line for line in lines), lines


def test_operator_may_write_the_kind_as_people_say_it_and_networks_of_every_sort(tmp_path: Path) -> None:
    zones = (
        {"name": "postes", "kind": "shared-workstation", "networks": ["10.1.4.0/24", "fd00:1::/32"]},
        {"name": "maison", "kind": "vpn", "networks": ["203.0.113.40/32"]},
        {"name": "ailleurs", "kind": "blocked", "networks": ["198.51.100.0/24"]},
        {"name": "sortie", "kind": "trusted", "networks": ["203.0.113.9"], "egress": True, "guests_apart": "Nadia, le 12 mars"},
    )
    assert found(tmp_path, home("lilas", LAN, *zones)) == []


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({**LAN, "networks": ["10.1.9.0/24"]}, "cannot be told apart"),
        ({**LAN, "networks": ["10.0.0.0/8"]}, "cannot be told apart"),
        ({**LAN, "networks": ["5.5.5.5"], "egress": True, "guests_apart": "Nadia, le 12 mars"}, "belongs to one establishment"),
    ],
)
def test_operator_is_stopped_when_zones_of_two_establishments_overlap(tmp_path: Path, other: dict[str, Any], says: str) -> None:
    egress = {"name": "sortie", "kind": "trusted", "networks": ["5.5.5.5"], "egress": True, "guests_apart": "Nadia, le 12 mars"}
    lines = found(tmp_path, home("lilas", LAN, egress), home("roses", other))
    (line,) = lines
    assert line.startswith("error: establishments[")
    assert says in line
    assert "lilas/" in line
    assert "roses/lan" in line


def test_zones_that_never_count_on_the_same_day_do_not_overlap(tmp_path: Path) -> None:
    before = home("lilas", {**LAN, "last_day": "2026-12-31"})
    after = home("roses", {**LAN, "first_day": "2027-01-01"})
    assert found(tmp_path, before, after) == []


def test_a_narrow_zone_may_lie_in_a_wide_one_of_the_same_establishment_but_not_be_the_same(tmp_path: Path) -> None:
    narrow = {"name": "postes", "kind": "shared_workstation", "networks": ["10.1.4.0/24"]}
    assert found(tmp_path, home("lilas", LAN, narrow)) == []
    (line,) = found(tmp_path, home("lilas", LAN, {**narrow, "networks": ["10.1.0.0/16"]}))
    assert "cannot be told" in line


@pytest.mark.parametrize("proxy", ["10.1.0.7", "10.0.0.0/8", "::ffff:10.1.0.7"])
def test_operator_is_stopped_when_a_proxy_stands_in_a_zone(tmp_path: Path, proxy: str) -> None:
    lines = found(tmp_path, home("lilas", LAN), proxies=(proxy,))
    assert any(
        line.startswith("error: establishments[0].zones[0]: lilas/lan (10.1.0.0/16) overlaps the trusted proxy") for line in lines
    ), lines


def test_operator_is_told_of_names_used_twice_and_labels_that_are_too_long(tmp_path: Path) -> None:
    long = home("l" * 50, {**LAN, "name": "n" * 40})
    twice = home("roses", {**LAN, "networks": ["10.2.0.0/16"]}, {**LAN, "networks": ["10.3.0.0/16"]})
    lines = found(tmp_path, long, twice)
    assert [line.split(": ")[1] for line in lines] == ["establishments[0].zones[0].name", "establishments[1].zones[1].name"]
    assert "longer than 80 characters" in lines[0]


def test_operator_is_warned_of_an_egress_that_guests_may_leave_by(tmp_path: Path) -> None:
    (line,) = found(tmp_path, home("lilas", {"name": "sortie", "kind": "trusted", "networks": ["203.0.113.9"], "egress": True}))
    assert line.startswith("warning: establishments[0].zones[0]: a whole site leaves by this address")


def test_operator_is_warned_once_of_all_establishments_of_the_tolerant_level(tmp_path: Path) -> None:
    homes = [home(f"home{number}", regulatory_level="tolerant") for number in range(8)]
    (line,) = found(tmp_path, *homes, home("sure"))
    assert line.startswith(
        "warning: establishments: regulatory_level is tolerant at home0, home1, home2, home3, home4 and 3 others: since 2026-01-01"
    )


@pytest.mark.parametrize("value", ["36h", "91d", "30", "-1d"])
def test_durations_in_days_are_whole_days(tmp_path: Path, value: str) -> None:
    for name in ("remember_device", "enrolment_grace"):
        assert any(f"establishments[0].{name}" in line for line in found(tmp_path, home(**{name: value})))
    assert found(tmp_path, home(remember_device="30d", enrolment_grace="0d")) == []


def apply_configuration(operator: Operator, *homes: dict[str, Any]) -> Applied:
    operator.configure(establishments=list(homes))
    config = load(operator.config_path)
    database = Database.of(config.database, pool_size=2, pens=pens_of(config))
    try:
        return apply(database, config, AUTHOR, clock=SystemClock())
    finally:
        database.close()


def zones_of(operator: Operator, slug: str = "lilas") -> dict[str, Any]:
    return {row["zone"]: row for row in operator.ask("zone", "list", "--establishment", slug, "--json")}


def revision(operator: Operator) -> int:
    with operator.looking() as tx:
        return tx.revisions.number("zones")


def test_start_writes_what_the_file_says_of_an_establishment(operator: Operator) -> None:
    said = home("lilas", LAN, windows_approval="Directrice, le 12 mars", remember_device="30d", enrolment_grace="14d")
    apply_configuration(operator, said)
    with operator.looking() as tx:
        place = tx.establishments.by_slug("lilas")
        assert place is not None
        (zone,) = tx.zones.of(place.id)
    assert (place.regulatory_level, place.windows_approval) == ("rie-2026", "Directrice, le 12 mars")
    assert (place.remember_device_days, place.enrolment_grace_days) == (30, 14)
    assert (zone.name, zone.kind, zone.networks, zone.source) == ("lan", "trusted", ("10.1.0.0/16",), "config")
    line = operator.last_event("zone.changed")
    assert line["details"] == {"zone": "lilas/lan", "changed": "added", "kind": "trusted", "networks": "10.1.0.0/16"}
    assert (line["establishment_id"], line["actor"]) == (place.id, "operator:test")


def test_start_changes_and_ends_zones_as_the_file_does_and_nothing_otherwise(operator: Operator) -> None:
    post = {"name": "postes", "kind": "shared_workstation", "networks": ["10.1.4.0/24"]}
    apply_configuration(operator, home("lilas", LAN, post))
    began = revision(operator)
    assert not apply_configuration(operator, home("lilas", LAN, post)).is_new
    assert revision(operator) == began
    applied = apply_configuration(operator, home("lilas", {**LAN, "networks": ["10.1.0.0/17"]}))
    assert applied.changed == ["lilas"]
    assert revision(operator) == began + 2
    assert {zone: row["networks"] for zone, row in zones_of(operator).items()} == {"lilas/lan": ["10.1.0.0/17"]}
    changes = [(line["details"]["zone"], line["details"]["changed"]) for line in operator.events("zone.changed")][2:]
    assert changes == [("lilas/lan", "networks"), ("lilas/postes", "ended")]


def test_zones_end_with_their_establishment_and_come_back_with_it(operator: Operator) -> None:
    apply_configuration(operator, home("lilas", LAN), home("roses"))
    apply_configuration(operator, home("roses"))
    with operator.looking() as tx:
        assert [slug for _, slug in tx.zones.open_with_slugs()] == []
    apply_configuration(operator, home("lilas", LAN), home("roses"))
    assert list(zones_of(operator)) == ["lilas/lan"]


def test_days_of_a_zone_are_those_of_the_establishment_wherever_it_moves(operator: Operator) -> None:
    zone = {**LAN, "first_day": "2026-12-01", "last_day": "2026-12-31"}
    for time_zone, first, last in (
        ("Europe/Paris", "2026-11-30T23:00:00+00:00", "2026-12-31T23:00:00+00:00"),
        ("Indian/Reunion", "2026-11-30T20:00:00+00:00", "2026-12-31T20:00:00+00:00"),
    ):
        apply_configuration(operator, home("lilas", zone, time_zone=time_zone))
        with operator.looking() as tx:
            ((stored, _slug),) = tx.zones.open_with_slugs()
        assert stored.valid_from is not None
        assert stored.valid_until is not None
        assert (stored.valid_from.isoformat(), stored.valid_until.isoformat()) == (first, last)


def test_the_file_and_commands_leave_each_other_alone_and_the_file_takes_over_a_name(operator: Operator) -> None:
    apply_configuration(operator, home("lilas", LAN))
    operator.do("zone", "add", "lilas", "annexe", "--kind", "trusted", "--network", "10.9.0.0/24")
    assert "belongs" not in operator.refused("zone", "end", "lilas", "nowhere", "--yes")
    for refused in (
        operator.refused("zone", "end", "lilas", "lan", "--yes"),
        operator.refused("zone", "add", "lilas", "lan", "--kind", "vpn", "--network", "10.9.1.0/24"),
    ):
        assert "configuration file" in refused
    apply_configuration(operator, home("lilas", {**LAN, "kind": "vpn"}))
    assert {zone: row["source"] for zone, row in zones_of(operator).items()} == {"lilas/annexe": "operator", "lilas/lan": "config"}
    apply_configuration(operator, home("lilas", LAN, {"name": "annexe", "kind": "blocked", "networks": ["10.9.0.0/24"]}))
    assert {zone: row["source"] for zone, row in zones_of(operator).items()} == {"lilas/annexe": "config", "lilas/lan": "config"}
