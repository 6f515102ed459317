"""policies.access: which attachment opens which client, and when it opens and closes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.access import AccessFacts, AttachmentFacts, Choice, attachment_window, choose, decide, usable_attachments
from policies.decision import Verdict

NOW = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TILLEULS = AttachmentFacts("a1", "tilleuls", "nurse", NOW - DAY, NOW + DAY, ended=False)
GLYCINES = AttachmentFacts("a2", "glycines", "aide", NOW - DAY, None, ended=False)
OPEN = AccessFacts(
    account_active=True,
    attachments=(TILLEULS, GLYCINES),
    client_establishments=frozenset(),
    client_profiles=frozenset(),
    now=NOW,
)
ZONES = [
    "Europe/Paris",
    "Indian/Reunion",
    "America/Martinique",
    "America/Cayenne",
    "America/Miquelon",
    "Pacific/Noumea",
    "Pacific/Tahiti",
    "Indian/Mayotte",
]


def _only(attachment: AttachmentFacts) -> AccessFacts:
    return replace(OPEN, attachments=(attachment,))


@pytest.mark.parametrize(
    ("facts", "establishment_id", "reasons"),
    [
        (replace(OPEN, account_active=False), "tilleuls", ("account_not_active",)),
        (replace(OPEN, attachments=()), None, ("no_attachment",)),
        (OPEN, "elsewhere", ("no_attachment",)),
        (_only(replace(TILLEULS, valid_from=NOW + timedelta(seconds=1))), "tilleuls", ("attachment_not_started",)),
        (_only(replace(TILLEULS, valid_until=NOW)), "tilleuls", ("attachment_ended",)),
        (_only(replace(TILLEULS, ended=True)), "tilleuls", ("attachment_ended",)),
        (_only(replace(TILLEULS, ended=True, valid_from=NOW + DAY)), None, ("attachment_ended",)),
        (
            replace(OPEN, client_establishments=frozenset({"glycines"})),
            "tilleuls",
            ("client_not_open_to_establishment",),
        ),
        (replace(OPEN, client_profiles=frozenset({"doctor"})), "tilleuls", ("client_not_open_to_profile",)),
        (
            replace(
                OPEN,
                attachments=(replace(TILLEULS, ended=True), GLYCINES),
                client_profiles=frozenset({"nurse"}),
            ),
            None,
            ("client_not_open_to_profile", "attachment_ended"),
        ),
    ],
)
def test_a_person_is_refused_when_no_attachment_opens_the_client(
    facts: AccessFacts, establishment_id: str | None, reasons: tuple[str, ...]
) -> None:
    decision = decide(facts, establishment_id)
    assert decision.verdict is Verdict.DENY
    assert decision.reasons == reasons


@pytest.mark.parametrize(
    ("facts", "establishment_id", "attachment_id"),
    [
        (OPEN, "tilleuls", "a1"),
        (OPEN, "glycines", "a2"),
        (OPEN, None, "a1"),
        (_only(replace(TILLEULS, valid_from=NOW)), "tilleuls", "a1"),
        (_only(replace(TILLEULS, valid_from=None, valid_until=None)), "tilleuls", "a1"),
        (replace(OPEN, client_establishments=frozenset({"glycines"})), None, "a2"),
        (replace(OPEN, client_profiles=frozenset({"aide", "doctor"})), "glycines", "a2"),
    ],
)
def test_a_person_is_allowed_when_one_attachment_opens_the_client(
    facts: AccessFacts, establishment_id: str | None, attachment_id: str
) -> None:
    decision = decide(facts, establishment_id)
    assert decision.is_allowed
    assert decision.reasons == ("attachment_usable",)
    assert decision.trace[0].detail == attachment_id


def test_a_second_profile_at_the_same_establishment_opens_what_the_first_does_not() -> None:
    as_aide = replace(TILLEULS, id="a3", profile="aide")
    facts = replace(OPEN, attachments=(TILLEULS, as_aide), client_profiles=frozenset({"aide"}))
    assert decide(facts, "tilleuls").is_allowed
    assert usable_attachments(facts) == (as_aide,)


@pytest.mark.parametrize(
    ("facts", "wanted", "last", "choice"),
    [
        (OPEN, "glycines", "tilleuls", Choice("glycines", must_ask=False, suggested=None)),
        (OPEN, None, "glycines", Choice(None, must_ask=True, suggested="glycines")),
        (OPEN, None, None, Choice(None, must_ask=True, suggested=None)),
        (OPEN, None, "left-last-year", Choice(None, must_ask=True, suggested=None)),
        (OPEN, "elsewhere", "glycines", Choice(None, must_ask=True, suggested="glycines")),
        (_only(GLYCINES), None, "tilleuls", Choice("glycines", must_ask=False, suggested=None)),
        (_only(GLYCINES), "tilleuls", None, Choice("glycines", must_ask=False, suggested=None)),
        (
            replace(OPEN, attachments=(TILLEULS, replace(TILLEULS, id="a3", profile="aide"))),
            None,
            None,
            Choice("tilleuls", must_ask=False, suggested=None),
        ),
        (replace(OPEN, attachments=()), "tilleuls", "tilleuls", Choice(None, must_ask=False, suggested=None)),
        (replace(OPEN, account_active=False), "tilleuls", None, Choice(None, must_ask=False, suggested=None)),
    ],
)
def test_the_active_establishment_is_chosen_or_asked(facts: AccessFacts, wanted: str | None, last: str | None, choice: Choice) -> None:
    assert choose(facts, wanted, last) == choice


_instant = st.one_of(st.none(), st.integers(-3, 3).map(lambda hours: NOW + timedelta(hours=hours)))
_attachment = st.builds(
    AttachmentFacts,
    st.uuids().map(str),
    st.sampled_from(["tilleuls", "glycines", "mimosas"]),
    st.sampled_from(["nurse", "aide"]),
    _instant,
    _instant,
    st.booleans(),
)
_facts = st.builds(
    AccessFacts,
    account_active=st.booleans(),
    attachments=st.lists(_attachment, max_size=4).map(tuple),
    client_establishments=st.frozensets(st.sampled_from(["tilleuls", "glycines"])),
    client_profiles=st.frozensets(st.sampled_from(["nurse", "aide"])),
    now=st.just(NOW),
)
_hint = st.sampled_from([None, "tilleuls", "glycines", "mimosas", "elsewhere"])


@given(_facts, _hint, _hint)
def test_choosing_deciding_and_listing_always_agree(facts: AccessFacts, wanted: str | None, last: str | None) -> None:
    usable = {attachment.establishment_id for attachment in usable_attachments(facts)}
    choice = choose(facts, wanted, last)
    for establishment_id in ("tilleuls", "glycines", "mimosas", "elsewhere"):
        assert decide(facts, establishment_id).is_allowed == (establishment_id in usable)
    assert decide(facts, None).is_allowed == bool(usable)
    assert choice.establishment_id is None or choice.establishment_id in usable
    assert choice.must_ask == (choice.establishment_id is None and bool(usable))
    assert choice.suggested in ({last, None} & (usable | {None}) if choice.must_ask else {None})


@given(_facts)
def test_an_ended_account_opens_nothing_whatever_its_attachments(facts: AccessFacts) -> None:
    closed = replace(facts, account_active=False)
    assert usable_attachments(closed) == ()
    assert decide(closed, None).reasons == ("account_not_active",)


@pytest.mark.parametrize(
    ("zone", "first_day", "last_day", "opens", "closes"),
    [
        ("Europe/Paris", "2026-01-05", "2026-01-31", "2026-01-04T23:00", "2026-02-01T11:00"),
        ("Europe/Paris", "2026-07-01", "2026-07-31", "2026-06-30T22:00", "2026-08-01T10:00"),
        # 28/29 March 2026, clocks go forward: noon is 35 hours after the midnight that began the last day.
        ("Europe/Paris", "2026-03-28", "2026-03-28", "2026-03-27T23:00", "2026-03-29T10:00"),
        # 24/25 October 2026, clocks go back: 37 hours.
        ("Europe/Paris", "2026-10-24", "2026-10-24", "2026-10-23T22:00", "2026-10-25T11:00"),
        ("Indian/Reunion", "2026-03-28", "2026-03-28", "2026-03-27T20:00", "2026-03-29T08:00"),
        ("America/Martinique", "2026-03-28", "2026-03-28", "2026-03-28T04:00", "2026-03-29T16:00"),
        ("Pacific/Noumea", "2026-03-28", "2026-03-28", "2026-03-27T13:00", "2026-03-29T01:00"),
        ("Pacific/Tahiti", "2026-03-28", "2026-03-28", "2026-03-28T10:00", "2026-03-29T22:00"),
        # Saint-Pierre-et-Miquelon changes on American dates: 7/8 March 2026.
        ("America/Miquelon", "2026-03-07", "2026-03-07", "2026-03-07T03:00", "2026-03-08T14:00"),
    ],
)
def test_an_attachment_opens_at_midnight_and_closes_at_noon_of_the_next_day_there(
    zone: str, first_day: str, last_day: str, opens: str, closes: str
) -> None:
    window = attachment_window(date.fromisoformat(first_day), date.fromisoformat(last_day), ZoneInfo(zone))
    assert window == (
        datetime.fromisoformat(opens).replace(tzinfo=UTC),
        datetime.fromisoformat(closes).replace(tzinfo=UTC),
    )


def test_an_attachment_has_no_bound_where_no_day_is_given() -> None:
    paris = ZoneInfo("Europe/Paris")
    assert attachment_window(None, None, paris) == (None, None)
    assert attachment_window(date.min, date.max, ZoneInfo("Pacific/Noumea")) == (None, None)
    assert attachment_window(None, date(9999, 12, 31), paris) == (None, None)


def test_an_establishment_may_close_at_another_hour() -> None:
    paris = ZoneInfo("Europe/Paris")
    _, at_midnight = attachment_window(None, date(2026, 1, 31), paris, closes_at=time(0))
    _, same_evening = attachment_window(None, date(2026, 1, 31), paris, closes_at=time(20), closes_days_after=0)
    assert at_midnight == datetime(2026, 1, 31, 23, tzinfo=UTC)
    assert same_evening == datetime(2026, 1, 31, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last_day", "closes"),
    # 02:30 is skipped on 29 March and comes twice on 25 October: the later reading each time.
    [(date(2026, 3, 28), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)), (date(2026, 10, 24), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))],
)
def test_a_closing_hour_that_is_skipped_or_comes_twice_is_read_as_the_later(last_day: date, closes: datetime) -> None:
    _, until = attachment_window(None, last_day, ZoneInfo("Europe/Paris"), closes_at=time(2, 30))
    assert until == closes


@pytest.mark.parametrize(
    ("day", "opens"),
    # Havana's clocks change at midnight: 00:00 is skipped on 8 March 2026 and comes twice on 1 November.
    [(date(2026, 3, 8), datetime(2026, 3, 8, 5, tzinfo=UTC)), (date(2026, 11, 1), datetime(2026, 11, 1, 4, tzinfo=UTC))],
)
def test_a_day_without_or_with_two_midnights_opens_with_its_first_instant(day: date, opens: datetime) -> None:
    since, _ = attachment_window(day, None, ZoneInfo("America/Havana"))
    assert since == opens


def test_a_last_day_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="before its first day"):
        attachment_window(date(2026, 2, 2), date(2026, 2, 1), ZoneInfo("Europe/Paris"))
    with pytest.raises(ValueError, match="negative"):
        attachment_window(None, None, ZoneInfo("Europe/Paris"), closes_days_after=-1)


_day = st.dates(date(1990, 1, 1), date(2060, 12, 31))


@given(_day, st.integers(0, 400), st.sampled_from(ZONES))
def test_the_window_covers_every_night_shift_in_every_french_zone(first_day: date, days: int, name: str) -> None:
    zone = ZoneInfo(name)
    last_day = first_day + timedelta(days=days)
    opens, closes = attachment_window(first_day, last_day, zone)
    assert opens is not None
    assert closes is not None
    assert (opens.tzinfo, closes.tzinfo) == (UTC, UTC)
    first_instant, end = opens.astimezone(zone), closes.astimezone(zone)
    assert first_instant.date() == first_day
    assert (opens - timedelta(seconds=1)).astimezone(zone).date() == first_day - DAY
    assert (end.date(), end.timetz().replace(tzinfo=None)) == (last_day + DAY, time(12))
