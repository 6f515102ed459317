"""policies.enrolment: who may add a factor, from where and after which proof; and how long a person may go without."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.assurance import LEVELS
from policies.enrolment import EnrolmentFacts, GraceFacts, deadline, grace, may_enrol
from policies.zones import Whereabouts

NOW = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
LAN = Whereabouts(zone="tilleuls/soins", kind="trusted", why="network_of_zone", is_inside=True, is_shared=False, may_enrol=True)
SHARED = replace(LAN, kind="shared_workstation", is_shared=True, may_enrol=False)
EGRESS = replace(LAN, why="egress_with_declaration", may_enrol=False)
AWAY = Whereabouts(zone="outside", kind="outside", why="no_zone", is_inside=False, is_shared=False, may_enrol=False)
TUNNEL = replace(AWAY, zone="tilleuls/tunnel", kind="vpn", why="network_of_zone")
FIRST = EnrolmentFacts(
    level="tolerant",
    whereabouts=LAN,
    signed_in_at=NOW - MINUTE,
    now=NOW,
    has_factor=False,
    proved_factor_recently=False,
    has_pass=False,
)
FURTHER = replace(FIRST, has_factor=True)


@pytest.mark.parametrize(
    ("facts", "code", "detail"),
    [
        (FIRST, "enrolment_allowed", "place"),
        (replace(FIRST, signed_in_at=NOW - 5 * MINUTE), "enrolment_allowed", "place"),
        (replace(FIRST, signed_in_at=NOW - 5 * MINUTE - timedelta(seconds=1)), "enrolment_sign_in_too_old", ""),
        (replace(FIRST, signed_in_at=NOW + timedelta(seconds=1)), "enrolment_allowed", "place"),
        (replace(FIRST, signed_in_at=NOW + DAY), "enrolment_sign_in_too_old", ""),
        (replace(FIRST, signed_in_at=None), "enrolment_sign_in_too_old", ""),
        (replace(FIRST, signed_in_at=NOW - 9 * MINUTE, max_age=10 * MINUTE), "enrolment_allowed", "place"),
        (replace(FIRST, whereabouts=SHARED), "enrolment_shared_zone", "tilleuls/soins"),
        (replace(FIRST, whereabouts=replace(LAN, is_shared=True, may_enrol=False)), "enrolment_shared_zone", "tilleuls/soins"),
        (replace(FIRST, whereabouts=EGRESS), "enrolment_needs_trusted_zone", "egress_with_declaration"),
        (replace(FIRST, whereabouts=TUNNEL), "enrolment_needs_trusted_zone", "network_of_zone"),
        # Never from outside with a password alone.
        (replace(FIRST, whereabouts=AWAY), "enrolment_needs_trusted_zone", "no_zone"),
        (replace(FIRST, whereabouts=AWAY, signed_in_at=NOW), "enrolment_needs_trusted_zone", "no_zone"),
        (replace(FIRST, whereabouts=AWAY, proved_factor_recently=True), "enrolment_needs_trusted_zone", "no_zone"),
        (replace(FIRST, whereabouts=AWAY, has_pass=True), "enrolment_allowed", "pass"),
        (replace(FIRST, whereabouts=SHARED, has_pass=True), "enrolment_allowed", "pass"),
        (replace(FIRST, signed_in_at=None, has_pass=True), "enrolment_allowed", "pass"),
        # While the desk's two halves are out, they alone bring the next factor.
        (replace(FIRST, is_being_reset=True), "enrolment_needs_pass", "reset"),
        (replace(FIRST, is_being_reset=True, has_pass=True), "enrolment_allowed", "pass"),
        # On the stricter levels, and on one that is not known, the place is not enough.
        (replace(FIRST, level="rie-2026"), "enrolment_needs_pass", "rie-2026"),
        (replace(FIRST, level="psc"), "enrolment_needs_pass", "psc"),
        (replace(FIRST, level="rie-2030"), "enrolment_needs_pass", "rie-2030"),
        (replace(FIRST, level="rie-2026", whereabouts=AWAY), "enrolment_needs_pass", "rie-2026"),
        (replace(FIRST, level="rie-2026", has_pass=True), "enrolment_allowed", "pass"),
        (replace(FIRST, level="psc", whereabouts=AWAY, has_pass=True), "enrolment_allowed", "pass"),
        # A further one takes one that is there, anywhere.
        (FURTHER, "enrolment_needs_factor", ""),
        (replace(FURTHER, whereabouts=AWAY), "enrolment_needs_factor", ""),
        (replace(FURTHER, level="rie-2026"), "enrolment_needs_factor", ""),
        (replace(FURTHER, proved_factor_recently=True), "enrolment_allowed", "factor"),
        (replace(FURTHER, proved_factor_recently=True, whereabouts=AWAY), "enrolment_allowed", "factor"),
        (replace(FURTHER, proved_factor_recently=True, whereabouts=SHARED, level="psc"), "enrolment_allowed", "factor"),
        (replace(FURTHER, has_pass=True), "enrolment_allowed", "pass"),
    ],
)
def test_a_factor_is_enrolled_only_from_a_sound_position(facts: EnrolmentFacts, code: str, detail: str) -> None:
    decision = may_enrol(facts)
    assert decision.reasons == (code,)
    assert decision.is_allowed == (code == "enrolment_allowed")
    assert decision.trace[0].detail == detail


@given(st.sampled_from((*LEVELS, "")), st.sampled_from([SHARED, EGRESS, AWAY, TUNNEL]), st.booleans(), st.integers(-10, 10))
def test_a_password_alone_enrols_nothing_away_from_a_trusted_place(level: str, where: Whereabouts, proved: bool, minutes: int) -> None:
    facts = replace(FIRST, level=level, whereabouts=where, proved_factor_recently=proved, signed_in_at=NOW + minutes * MINUTE)
    assert may_enrol(facts).is_denied


GRACE = GraceFacts(grace_days=30, grace_began_at=NOW - 10 * DAY, is_inside=True, now=NOW)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (GRACE, "spared"),
        (replace(GRACE, grace_began_at=NOW - 30 * DAY + timedelta(seconds=1)), "spared"),
        (replace(GRACE, grace_began_at=NOW - 30 * DAY), "due"),
        (replace(GRACE, grace_began_at=NOW - 300 * DAY), "due"),
        (replace(GRACE, grace_began_at=None), "spared"),
        (replace(GRACE, grace_days=0), "due"),
        (replace(GRACE, grace_days=0, grace_began_at=None), "due"),
        # Outside a password alone opens nothing, before the deadline and after.
        (replace(GRACE, is_inside=False), "overdue"),
        (replace(GRACE, is_inside=False, grace_began_at=NOW - 300 * DAY), "overdue"),
        (replace(GRACE, is_inside=False, grace_days=0), "overdue"),
    ],
)
def test_the_grace_spares_inside_until_its_deadline(facts: GraceFacts, verdict: str) -> None:
    assert grace(facts) == verdict


def test_the_deadline_can_be_told() -> None:
    assert deadline(GRACE) == NOW + 20 * DAY
    assert deadline(replace(GRACE, grace_began_at=None)) == NOW + 30 * DAY
    assert deadline(replace(GRACE, grace_days=0)) is None
