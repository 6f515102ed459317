"""policies.sessions: until when a Session stands, and why it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.sessions import (
    SessionFacts,
    SessionLimits,
    Standing,
    needs_fresh_authentication,
    over_limit,
    seconds_left,
    standing,
)

START = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LIMITS = SessionLimits(idle=30 * MINUTE, absolute=14 * HOUR, concurrent=2)
SESSION = SessionFacts(START, START, START + 14 * HOUR, ended_at=None)


@pytest.mark.parametrize(
    ("session", "now", "expected", "seconds"),
    [
        (SESSION, START, Standing.LIVE, 1800),
        (SESSION, START + 30 * MINUTE - timedelta(milliseconds=1), Standing.LIVE, 1),
        (SESSION, START + 30 * MINUTE, Standing.IDLE_EXPIRED, 0),
        (SESSION, START + 20 * HOUR, Standing.IDLE_EXPIRED, 0),
        (replace(SESSION, last_active_at=START + 13 * HOUR + 50 * MINUTE), START + 13 * HOUR + 55 * MINUTE,
         Standing.LIVE, 300),
        (replace(SESSION, last_active_at=START + 13 * HOUR + 50 * MINUTE), START + 14 * HOUR,
         Standing.ABSOLUTE_EXPIRED, 0),
        (replace(SESSION, last_active_at=START + 13 * HOUR + 50 * MINUTE), START + 40 * HOUR,
         Standing.ABSOLUTE_EXPIRED, 0),
        (replace(SESSION, expires_at=START + 10 * MINUTE), START + 10 * MINUTE, Standing.ABSOLUTE_EXPIRED, 0),
        (replace(SESSION, expires_at=START + 90 * HOUR, last_active_at=START + 14 * HOUR), START + 14 * HOUR,
         Standing.ABSOLUTE_EXPIRED, 0),
        (replace(SESSION, ended_at=START + MINUTE), START + 2 * MINUTE, Standing.ENDED, 0),
        (replace(SESSION, ended_at=START + MINUTE), START + 90 * HOUR, Standing.ENDED, 0),
    ],
)  # fmt: skip
def test_a_session_stands_until_the_first_of_its_limits(session: SessionFacts, now: datetime, expected: Standing, seconds: int) -> None:
    assert standing(session, LIMITS, now) is expected
    assert seconds_left(session, LIMITS, now) == seconds


SHARED = replace(SESSION, is_shared=True)
WITH_SHARED = replace(LIMITS, shared_idle=10 * MINUTE)


@pytest.mark.parametrize(
    ("session", "limits", "now", "expected", "seconds"),
    [
        (SHARED, WITH_SHARED, START, Standing.LIVE, 600),
        (SHARED, WITH_SHARED, START + 10 * MINUTE - timedelta(microseconds=1), Standing.LIVE, 1),
        (SHARED, WITH_SHARED, START + 10 * MINUTE, Standing.IDLE_EXPIRED, 0),
        (SESSION, WITH_SHARED, START + 10 * MINUTE, Standing.LIVE, 1200),
        (SHARED, LIMITS, START + 10 * MINUTE, Standing.LIVE, 1200),
        # Never longer than one's own.
        (SHARED, replace(LIMITS, shared_idle=HOUR), START + 30 * MINUTE, Standing.IDLE_EXPIRED, 0),
        (replace(SHARED, last_active_at=START + 14 * HOUR - MINUTE), WITH_SHARED, START + 14 * HOUR, Standing.ABSOLUTE_EXPIRED, 0),
        (replace(SHARED, ended_at=START), WITH_SHARED, START, Standing.ENDED, 0),
    ],
)  # fmt: skip
def test_a_shared_session_is_idle_sooner(
    session: SessionFacts, limits: SessionLimits, now: datetime, expected: Standing, seconds: int
) -> None:
    assert standing(session, limits, now) is expected
    assert seconds_left(session, limits, now) == seconds


def test_a_shared_idle_limit_is_longer_than_nothing() -> None:
    with pytest.raises(ValueError, match="longer than nothing"):
        replace(LIMITS, shared_idle=timedelta(0))


_offset = st.timedeltas(timedelta(0), timedelta(hours=30))


@given(_offset, _offset, _offset, st.none() | _offset)
def test_no_seconds_are_left_exactly_when_the_session_is_not_live(
    active: timedelta, expires: timedelta, later: timedelta, ended: timedelta | None
) -> None:
    session = SessionFacts(START, START + active, START + expires, ended_at=None if ended is None else START + ended)
    now = START + later
    left = seconds_left(session, LIMITS, now)
    assert left >= 0
    assert (left == 0) == (standing(session, LIMITS, now) is not Standing.LIVE)


@given(_offset, _offset)
def test_a_session_that_is_over_never_lives_again(active: timedelta, later: timedelta) -> None:
    session = replace(SESSION, last_active_at=START + active)
    now = START + later
    before = standing(session, LIMITS, now)
    if before is not Standing.LIVE:
        assert standing(session, LIMITS, now + HOUR) is before


@pytest.mark.parametrize(
    ("live_count", "concurrent", "expected"),
    [(1, 1, False), (2, 1, True), (2, 2, False), (3, 2, True), (999, None, False)],
)
def test_the_limit_on_sessions_counts_the_one_being_opened(live_count: int, concurrent: int | None, expected: bool) -> None:
    assert over_limit(live_count, replace(LIMITS, concurrent=concurrent)) is expected


@pytest.mark.parametrize(
    ("age_seconds", "max_age_seconds", "expected"),
    [
        (10**6, None, False),
        (59, 60, False),
        (60, 60, False),
        (60.5, 60, True),
        (61, 60, True),
        (0, 0, True),
        (5, 0, True),
        (0, -1, True),
        (-1, 60, False),
        (10, 10**30, False),
    ],
)
def test_a_proof_older_than_max_age_is_asked_again(age_seconds: float, max_age_seconds: int | None, expected: bool) -> None:
    now = START + timedelta(seconds=age_seconds)
    assert needs_fresh_authentication(START, max_age_seconds, now) is expected


@pytest.mark.parametrize(
    ("idle", "absolute", "concurrent"),
    [(timedelta(0), HOUR, 1), (HOUR, timedelta(0), 1), (HOUR, HOUR, 0), (-HOUR, HOUR, None)],
)
def test_limits_that_no_session_could_meet_are_refused(idle: timedelta, absolute: timedelta, concurrent: int | None) -> None:
    with pytest.raises(ValueError, match="limit"):
        SessionLimits(idle=idle, absolute=absolute, concurrent=concurrent)
