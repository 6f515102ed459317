"""policies.zones: which zone an address lies in, when that makes a person inside, and which zones may not stand together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.zones import WorkstationFacts, ZoneFacts, ZoneIndex, ZoneKind, conclude, overlaps, undeclared_egress

NOW = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def _zone(name: str, *networks: str, kind: str = "trusted", of: str = "tilleuls") -> ZoneFacts:
    return ZoneFacts(
        id=f"{of}-{name}", establishment_id=of, slug=of, name=name, kind=ZoneKind(kind), networks=tuple(ip_network(one) for one in networks)
    )


CARE = _zone("care", "10.1.0.0/16", "2001:db8:1::/48")
LOUNGE = _zone("lounge", "10.1.7.0/24", kind="shared_workstation")
TUNNEL = _zone("tunnel", "10.99.0.0/16", kind="vpn")
GUESTS = _zone("guests", "10.1.200.0/22", kind="blocked")
OTHER = _zone("care", "10.2.0.0/16", of="glycines")
EGRESS = replace(_zone("line", "203.0.113.9/32"), is_egress=True)
PAST = replace(_zone("works", "10.50.0.0/24"), valid_until=NOW)
COMING = replace(_zone("wing", "10.51.0.0/24"), valid_from=NOW + DAY)
WHOLE = _zone("host", "10.3.0.1/32", "::ffff:10.4.0.0/112")
EVERY = (CARE, LOUNGE, TUNNEL, GUESTS, OTHER, EGRESS, PAST, COMING, WHOLE)
INDEX = ZoneIndex(EVERY)


@pytest.mark.parametrize(
    ("address", "zone"),
    [
        ("10.1.0.0", CARE),
        ("10.1.255.255", CARE),
        ("10.0.255.255", None),
        ("10.2.0.1", OTHER),
        ("10.1.7.4", LOUNGE),
        ("10.1.8.4", CARE),
        ("10.1.200.1", GUESTS),
        ("10.1.203.255", GUESTS),
        ("10.1.204.0", CARE),
        ("10.99.3.3", TUNNEL),
        ("203.0.113.9", EGRESS),
        ("203.0.113.8", None),
        ("10.3.0.1", WHOLE),
        ("10.3.0.2", None),
        ("10.4.200.1", WHOLE),
        ("::ffff:10.1.0.5", CARE),
        ("::ffff:a01:5", CARE),
        ("0:0:0:0:0:ffff:10.2.0.1", OTHER),
        ("2001:db8:1::1", CARE),
        ("2001:DB8:1:ffff::1", CARE),
        ("2001:db8:2::1", None),
        ("2001:db8:1::1%eth0", CARE),
        # Not an IPv4-mapped address: whoever writes such a one is not at 10.1.0.5.
        ("::10.1.0.5", None),
        ("64:ff9b::10.1.0.5", None),
        ("2002:a01:5::1", None),
        ("10.50.0.1", PAST),
        ("10.51.0.1", COMING),
        ("", None),
        ("unknown", None),
        ("10.1.0.5:443", None),
        ("[2001:db8:1::1]", None),
        ("10.1.0.0/16", None),
        ("010.001.000.005", None),
        ("167837701", None),
        (" 10.1.0.5", None),
    ],
)
def test_an_address_lies_in_the_smallest_zone_that_holds_it(address: str, zone: ZoneFacts | None) -> None:
    assert INDEX.find(address, NOW) is zone


@pytest.mark.parametrize(
    ("zones", "establishment_id", "found"),
    [
        ((_zone("in", "10.0.0.0/8", kind="blocked"), _zone("site", "10.1.0.0/16")), "tilleuls", "in"),
        ((_zone("in", "10.0.0.0/8", kind="blocked"), _zone("site", "10.1.0.0/16")), None, "in"),
        # What one establishment blocks does not put another's people outside.
        ((_zone("in", "10.0.0.0/8", kind="blocked"), _zone("site", "10.1.0.0/16", of="glycines")), "glycines", "site"),
        ((_zone("in", "10.0.0.0/8", kind="blocked"), _zone("site", "10.1.0.0/16", of="glycines")), None, "in"),
        # The same network at two establishments is nobody's; a smaller one inside decides for itself.
        ((_zone("one", "10.1.0.0/16"), _zone("two", "10.1.0.0/16", of="glycines")), "tilleuls", None),
        ((_zone("one", "10.1.0.0/16"), _zone("two", "10.1.0.0/16", of="glycines")), None, None),
        ((_zone("one", "10.0.0.0/8"), _zone("two", "10.1.0.0/16", of="glycines")), "tilleuls", "two"),
        ((_zone("one", "10.1.0.0/24"), _zone("two", "10.1.0.0/16"), _zone("three", "10.1.0.0/16", of="glycines")), "tilleuls", "one"),
        # Within one establishment the least trusted of the same network counts.
        ((_zone("one", "10.1.0.0/16"), _zone("two", "10.1.0.0/16", kind="vpn")), "tilleuls", "two"),
        ((_zone("one", "10.1.0.0/16"), _zone("two", "10.1.0.0/16", kind="shared_workstation")), "tilleuls", "two"),
        # A zone out of its days is passed over where another holds the address.
        ((replace(_zone("one", "10.1.0.0/24"), valid_until=NOW), _zone("two", "10.1.0.0/16")), "tilleuls", "two"),
        ((replace(_zone("one", "10.1.0.0/16", kind="blocked"), valid_until=NOW), _zone("two", "10.1.0.0/16")), "tilleuls", "two"),
        ((replace(_zone("one", "10.1.0.0/16"), valid_from=NOW), _zone("two", "10.1.0.0/8".replace("10.1", "10.0"))), "tilleuls", "one"),
    ],
)
def test_of_several_zones_the_safe_one_is_found(zones: tuple[ZoneFacts, ...], establishment_id: str | None, found: str | None) -> None:
    for order in (zones, zones[::-1]):
        zone = ZoneIndex(order).find("10.1.0.5", NOW, establishment_id=establishment_id)
        assert (zone and zone.name) == found


STATION = WorkstationFacts(id="w", establishment_id="tilleuls", zone_id=EGRESS.id, is_shared=False)
DECLARED = replace(EGRESS, guests_apart=True)
SHARED_EGRESS = replace(EGRESS, kind=ZoneKind.SHARED_WORKSTATION, guests_apart=True)
INSIDE, SHARED, ENROL = "inside", "shared", "enrol"


@pytest.mark.parametrize(
    ("found", "changes", "zone", "kind", "why", "flags"),
    [
        (CARE, {}, "tilleuls/care", "trusted", "network_of_zone", {INSIDE, ENROL}),
        (LOUNGE, {}, "tilleuls/lounge", "shared_workstation", "network_of_zone", {INSIDE, SHARED}),
        (TUNNEL, {}, "tilleuls/tunnel", "vpn", "network_of_zone", set()),
        (GUESTS, {}, "tilleuls/guests", "blocked", "blocked_network", set()),
        (None, {}, "outside", "outside", "no_zone", set()),
        (CARE, {"is_doubtful": True}, "outside", "outside", "address_doubtful", set()),
        # A ban that some header says one lies under holds; nothing else follows from an address that is not sure.
        (GUESTS, {"is_doubtful": True}, "tilleuls/guests", "blocked", "blocked_network", set()),
        (replace(GUESTS, establishment_id="glycines"), {"is_doubtful": True}, "outside", "outside", "address_doubtful", set()),
        (replace(GUESTS, valid_until=NOW), {"is_doubtful": True}, "outside", "outside", "address_doubtful", set()),
        (OTHER, {}, "outside", "outside", "zone_of_another_establishment", set()),
        (replace(GUESTS, establishment_id="glycines"), {}, "outside", "outside", "zone_of_another_establishment", set()),
        (CARE, {"has_attachment": False}, "outside", "outside", "attachment_not_valid", set()),
        (TUNNEL, {"has_attachment": False}, "outside", "outside", "attachment_not_valid", set()),
        (GUESTS, {"has_attachment": False}, "tilleuls/guests", "blocked", "blocked_network", set()),
        (PAST, {}, "outside", "outside", "zone_not_valid_now", set()),
        (COMING, {}, "outside", "outside", "zone_not_valid_now", set()),
        (replace(GUESTS, valid_until=NOW), {}, "outside", "outside", "zone_not_valid_now", set()),
        # Before an establishment is active the zone is the address's, and nobody is inside.
        (CARE, {"establishment_id": None}, "tilleuls/care", "trusted", "network_of_zone", set()),
        (LOUNGE, {"establishment_id": None, "has_attachment": False}, "tilleuls/lounge", "shared_workstation", "network_of_zone", {SHARED}),
        (GUESTS, {"establishment_id": None}, "tilleuls/guests", "blocked", "blocked_network", set()),
        (DECLARED, {"establishment_id": None}, "tilleuls/line", "trusted", "egress_with_declaration", set()),
        # A public address that a site leaves by: with a workstation or a declaration, and never for enrolment.
        (EGRESS, {}, "outside", "outside", "egress_alone", set()),
        (EGRESS, {"workstation": STATION}, "tilleuls/line", "trusted", "egress_with_workstation", {INSIDE}),
        (DECLARED, {}, "tilleuls/line", "trusted", "egress_with_declaration", {INSIDE}),
        (DECLARED, {"workstation": STATION}, "tilleuls/line", "trusted", "egress_with_workstation", {INSIDE}),
        (DECLARED, {"has_attachment": False}, "outside", "outside", "attachment_not_valid", set()),
        (SHARED_EGRESS, {}, "tilleuls/line", "shared_workstation", "egress_with_declaration", {INSIDE, SHARED}),
        (EGRESS, {"workstation": replace(STATION, zone_id=CARE.id)}, "outside", "outside", "egress_alone", set()),
        (EGRESS, {"workstation": replace(STATION, establishment_id="glycines")}, "outside", "outside", "egress_alone", set()),
        (replace(TUNNEL, is_egress=True), {}, "tilleuls/tunnel", "vpn", "network_of_zone", set()),
        # A workstation alone is never inside; a shared one is shared wherever it turns up.
        (None, {"workstation": STATION}, "outside", "outside", "no_zone", set()),
        (OTHER, {"workstation": STATION}, "outside", "outside", "zone_of_another_establishment", set()),
        (CARE, {"workstation": STATION, "is_doubtful": True}, "outside", "outside", "address_doubtful", set()),
        (None, {"workstation": replace(STATION, is_shared=True)}, "outside", "outside", "no_zone", {SHARED}),
        (CARE, {"workstation": replace(STATION, is_shared=True)}, "tilleuls/care", "trusted", "network_of_zone", {INSIDE, SHARED}),
        (
            EGRESS,
            {"workstation": replace(STATION, is_shared=True)},
            "tilleuls/line",
            "trusted",
            "egress_with_workstation",
            {INSIDE, SHARED},
        ),
    ],
)
def test_a_person_is_inside_only_where_everything_agrees(
    found: ZoneFacts | None, changes: dict[str, object], zone: str, kind: str, why: str, flags: set[str]
) -> None:
    facts: dict[str, object] = {"is_doubtful": False, "establishment_id": "tilleuls", "has_attachment": True, "workstation": None}
    whereabouts = conclude(found, **{**facts, **changes}, now=NOW)  # type: ignore[arg-type]  # a table
    assert (whereabouts.zone, whereabouts.kind, whereabouts.why) == (zone, kind, why)
    told = {INSIDE: whereabouts.is_inside, SHARED: whereabouts.is_shared, ENROL: whereabouts.may_enrol}
    assert {name for name, is_so in told.items() if is_so} == flags


_station = st.one_of(st.none(), st.builds(WorkstationFacts, id=st.just("w"), establishment_id=st.sampled_from(["tilleuls", "glycines"]),
                                          zone_id=st.sampled_from([zone.id for zone in EVERY]), is_shared=st.booleans()))  # fmt: skip


@given(st.sampled_from(EVERY), st.booleans(), st.sampled_from([None, "tilleuls", "glycines"]), st.booleans(), _station, st.booleans())
def test_whoever_is_inside_is_so_for_every_reason(
    zone: ZoneFacts,
    is_doubtful: bool,
    establishment_id: str | None,
    has_attachment: bool,
    workstation: WorkstationFacts | None,
    declares: bool,
) -> None:
    found = replace(zone, guests_apart=declares)
    where = conclude(
        found, is_doubtful=is_doubtful, establishment_id=establishment_id, has_attachment=has_attachment, workstation=workstation, now=NOW
    )
    if where.is_inside:
        assert not is_doubtful
        assert has_attachment
        assert zone.establishment_id == establishment_id
        assert zone.kind in {ZoneKind.TRUSTED, ZoneKind.SHARED_WORKSTATION}
        assert zone.is_valid(NOW)
        assert not zone.is_egress or declares or (workstation is not None and workstation.zone_id == zone.id)
    if where.may_enrol:
        assert where.is_inside
        assert not where.is_shared
        assert not zone.is_egress


_network = st.builds(
    lambda number, length: IPv4Network((0x0A000000 | (number << 8), length), strict=False), st.integers(0, 2**16 - 1), st.integers(8, 28)
)
_zones = st.lists(
    st.builds(
        lambda number, kind, networks: ZoneFacts(
            id=f"z{number}", establishment_id="a", slug="a", name=f"z{number}", kind=kind, networks=tuple(networks)
        ),
        st.integers(0, 99),
        st.sampled_from(ZoneKind),
        st.lists(_network, min_size=1, max_size=3),
    ),
    max_size=8,
    unique_by=lambda zone: zone.id,
)


@given(_zones, st.integers(0x0A000000, 0x0AFFFFFF))
def test_the_index_finds_what_a_search_through_all_finds(zones: list[ZoneFacts], number: int) -> None:
    address = ip_address(number)
    holding = [(network.prefixlen, zone) for zone in zones for network in zone.networks if address in network]
    found = ZoneIndex(zones).find(str(address), NOW)
    if not holding:
        assert found is None
    elif any(zone.kind is ZoneKind.BLOCKED for _, zone in holding):
        assert found is not None
        assert found.kind is ZoneKind.BLOCKED
    else:
        longest = max(length for length, _ in holding)
        assert found in [zone for length, zone in holding if length == longest]


HOME = _zone("site", "192.168.1.0/24", of="glycines")


@pytest.mark.parametrize(
    ("zones", "proxies", "codes"),
    [
        ((CARE, LOUNGE, TUNNEL, GUESTS, OTHER, EGRESS), (), []),
        ((_zone("a", "192.168.1.0/24"), HOME), (), ["private_ranges_overlap"]),
        ((_zone("a", "192.168.0.0/16"), HOME), (), ["private_ranges_overlap"]),
        ((_zone("a", "192.168.1.7/32"), HOME), (), ["private_ranges_overlap"]),
        ((_zone("a", "192.168.0.0/24"), HOME), (), []),
        ((_zone("a", "192.168.1.0/24", kind="vpn"), HOME), (), ["private_ranges_overlap"]),
        ((_zone("a", "192.168.0.0/16", kind="blocked"), HOME), (), []),
        ((_zone("a", "::ffff:192.168.1.0/120"), HOME), (), ["private_ranges_overlap"]),
        ((_zone("a", "fd00:1::/32"), _zone("b", "fd00:1:2::/48", of="glycines")), (), ["private_ranges_overlap"]),
        ((_zone("a", "8.8.8.0/24"), _zone("b", "8.8.8.8/32", of="glycines")), (), ["public_ranges_overlap"]),
        ((_zone("a", "192.168.1.0/24"), _zone("b", "192.168.1.0/24")), (), ["same_network_twice"]),
        ((_zone("a", "192.168.1.0/24"), _zone("b", "192.168.1.0/24", kind="blocked")), (), []),
        ((_zone("a", "192.168.1.0/24"), _zone("b", "192.168.1.0/25")), (), []),
        ((replace(_zone("a", "192.168.1.0/24"), valid_until=NOW), replace(HOME, valid_from=NOW)), (), []),
        ((replace(_zone("a", "192.168.1.0/24"), valid_until=NOW + DAY), replace(HOME, valid_from=NOW)), (), ["private_ranges_overlap"]),
        ((CARE,), ("10.1.0.4/32",), ["proxy_in_zone"]),
        ((CARE,), ("10.0.0.0/8",), ["proxy_in_zone"]),
        ((CARE,), ("10.1.0.0/16",), ["proxy_in_zone"]),
        ((CARE,), ("127.0.0.1/32", "10.2.0.0/16"), []),
        ((GUESTS,), ("10.1.200.1/32",), []),
        ((CARE,), ("10.1.0.4/32", "2001:db8:1::4/128"), ["proxy_in_zone", "proxy_in_zone"]),
        ((), ("10.0.0.0/8", "10.0.0.0/16"), []),
    ],
)
def test_zones_that_make_an_address_mean_two_places_are_found(
    zones: tuple[ZoneFacts, ...], proxies: tuple[str, ...], codes: list[str]
) -> None:
    for order in (zones, zones[::-1]):
        found = overlaps(order, [ip_network(proxy) for proxy in proxies])
        assert [one.code for one in found] == codes
        assert all(one.zone in one.text and one.network in one.text for one in found)


def test_an_overlap_names_both_sides() -> None:
    (found,) = overlaps([_zone("a", "192.168.0.0/16"), HOME])
    assert (found.zone, found.zone_id, found.network) == ("tilleuls/a", "tilleuls-a", "192.168.0.0/16")
    assert (found.other, found.other_id, found.other_network) == ("glycines/site", "glycines-site", "192.168.1.0/24")
    (proxy,) = overlaps([CARE], [ip_network("10.1.0.4/32")])
    assert (proxy.zone, proxy.other, proxy.other_id) == ("tilleuls/care", "10.1.0.4/32", None)


@pytest.mark.parametrize(
    ("zone", "count"),
    [
        (_zone("a", "8.8.8.8/32", "10.0.0.0/8"), 1),
        (replace(_zone("a", "8.8.8.8/32"), is_egress=True), 0),
        (_zone("a", "8.8.8.8/32", kind="vpn"), 0),
        (_zone("a", "2a01:db8::/48"), 0),
    ],
)
def test_a_public_address_that_is_not_said_to_be_an_egress_is_found(zone: ZoneFacts, count: int) -> None:
    assert len(undeclared_egress([zone])) == count


def test_four_hundred_establishments_are_checked_at_once() -> None:
    zones = [
        replace(
            _zone("site", *(str(IPv4Network((0x0A000000 + ((4 * number + at) << 8), 24))) for at in range(4)), of=f"residence-{number}"),
        )
        for number in range(400)
    ]
    assert overlaps(zones) == ()
    index = ZoneIndex(zones)
    assert all(index.find(f"10.{(4 * number) >> 8}.{(4 * number) & 255}.77", NOW) is zones[number] for number in range(400))
