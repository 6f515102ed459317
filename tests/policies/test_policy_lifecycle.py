"""policies.lifecycle: what a directory's word does to an Account, and when a whole reading must stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.lifecycle import Brake, Judgement, LifecycleFacts, Verdict, brakes, is_loss, is_reset, judge

NOW = datetime(2026, 3, 10, 6, 0, tzinfo=UTC)
WORDS = ("usable", "must_change", "locked", "disabled", "expired", "out_of_scope", "gone")
CUTS = ("disabled", "expired", "out_of_scope", "gone")
FACTS = LifecycleFacts(
    word="usable", placements=1, account_status="active", cut_by=None, connector="annuaire", held_until=None, now=NOW
)  # fmt: skip
CUT = replace(FACTS, account_status="suspended", cut_by="annuaire")


@pytest.mark.parametrize("word", CUTS)
def test_a_word_that_lets_nobody_in_suspends_with_its_own_reason(word: str) -> None:
    assert judge(replace(FACTS, word=word)) == Judgement(Verdict.SUSPEND, f"directory_{word}")


@pytest.mark.parametrize("word", ["usable", "must_change", "locked"])
def test_a_lock_that_a_stranger_can_cause_cuts_nobody(word: str) -> None:
    assert judge(replace(FACTS, word=word)).verdict is Verdict.KEEP


def test_somebody_without_a_placement_is_kept_and_it_is_said() -> None:
    assert judge(replace(FACTS, placements=0)) == Judgement(Verdict.KEEP, "directory_unplaced")


def test_somebody_held_loses_no_placement_meanwhile() -> None:
    found = judge(replace(FACTS, placements=0, held_until=NOW + timedelta(minutes=1)))
    assert found == Judgement(Verdict.HOLD, "directory_unplaced")
    assert not found.is_cut
    assert judge(replace(FACTS, held_until=NOW + timedelta(minutes=1))).verdict is Verdict.KEEP


@pytest.mark.parametrize("word", ["usable", "must_change"])
def test_the_directory_takes_back_what_it_cut(word: str) -> None:
    assert judge(replace(CUT, word=word)).verdict is Verdict.REINSTATE


@pytest.mark.parametrize("cut_by", ["operator", "another", None])
@pytest.mark.parametrize("word", WORDS)
def test_the_directory_never_takes_back_what_others_cut(word: str, cut_by: str | None) -> None:
    assert judge(replace(CUT, word=word, cut_by=cut_by)).verdict is Verdict.KEEP


def test_a_directory_named_operator_does_not_take_back_what_the_operator_cut() -> None:
    assert judge(replace(CUT, cut_by="operator", connector="operator")).verdict is Verdict.KEEP


def test_a_locked_person_is_not_reinstated() -> None:
    assert judge(replace(CUT, word="locked")) == Judgement(Verdict.KEEP, "directory_locked")


@pytest.mark.parametrize("word", CUTS)
@pytest.mark.parametrize(
    ("left", "verdict"),
    [(timedelta(microseconds=1), Verdict.HOLD), (timedelta(0), Verdict.SUSPEND), (timedelta(hours=-1), Verdict.SUSPEND)],
)
def test_a_held_person_is_kept_until_the_instant_the_hold_ends(word: str, left: timedelta, verdict: Verdict) -> None:
    found = judge(replace(FACTS, word=word, held_until=NOW + left))
    assert found == Judgement(verdict, f"directory_{word}")
    assert found.is_cut


_facts = st.builds(
    LifecycleFacts,
    word=st.sampled_from(WORDS),
    placements=st.integers(0, 3),
    account_status=st.sampled_from(["active", "suspended", "ended"]),
    cut_by=st.sampled_from([None, "operator", "annuaire", "another"]),
    connector=st.just("annuaire"),
    held_until=st.none() | st.timedeltas(timedelta(hours=-2), timedelta(hours=2)).map(lambda left: NOW + left),
    now=st.just(NOW),
)


@given(_facts)
def test_only_an_active_account_is_suspended_and_only_a_suspended_one_reinstated(facts: LifecycleFacts) -> None:
    verdict = judge(facts).verdict
    assert verdict is not Verdict.SUSPEND or (facts.account_status == "active" and facts.word in CUTS)
    assert verdict is not Verdict.HOLD or (facts.account_status == "active" and (facts.word in CUTS or facts.placements == 0))
    assert verdict is not Verdict.REINSTATE or (facts.account_status, facts.cut_by) == ("suspended", facts.connector)
    assert facts.account_status != "ended" or verdict is Verdict.KEEP


@given(_facts)
def test_an_active_account_goes_on_after_a_word_that_lets_nobody_in_only_while_it_is_held(facts: LifecycleFacts) -> None:
    if facts.account_status == "active" and facts.word in CUTS and judge(facts).verdict is not Verdict.SUSPEND:
        assert facts.held_until is not None
        assert facts.held_until > facts.now


def test_a_word_that_no_directory_says_is_refused() -> None:
    with pytest.raises(ValueError, match="not a word"):
        replace(FACTS, word="unreachable")


BRAKE = Brake(people=20, percent=5)


@pytest.mark.parametrize(
    ("ending", "known", "expected"),
    [
        (0, 0, False),
        (0, 12, False),
        (1, 1, False),  # one person alone is a leaver
        (2, 2, True),  # everybody is a wrong filter
        (1, 12, False),  # 8 %, and an ordinary day
        (4, 12, False),
        (5, 12, True),
        (5, 100, False),
        (6, 100, True),
        (20, 400, False),
        (21, 30_000, True),
        (20, 30_000, False),
        (30_000, 30_000, True),
    ],
)
def test_the_brake_lets_ordinary_days_pass_and_stops_a_landslide(ending: int, known: int, expected: bool) -> None:
    assert brakes(ending, known, BRAKE) is expected


_known = st.integers(0, 2000)
_brakes = st.builds(Brake, people=st.integers(1, 100), percent=st.integers(1, 100))


@given(st.data(), _known, _brakes)
def test_who_stops_for_some_endings_stops_for_more(data: st.DataObject, known: int, brake: Brake) -> None:
    ending = data.draw(st.integers(0, known))
    if brakes(ending, known, brake):
        assert brakes(data.draw(st.integers(ending, known)), known, brake)


@given(st.integers(0, 2000), _known, _brakes, st.integers(0, 50))
def test_a_looser_brake_never_stops_more(ending: int, known: int, brake: Brake, more: int) -> None:
    looser = Brake(people=brake.people + more, percent=min(100, brake.percent + more))
    assert brakes(ending, known, brake) or not brakes(ending, known, looser)


@given(st.integers(0, 2000), _known, _brakes)
def test_a_run_that_passes_ends_no_more_than_the_brake_says_and_never_everybody(ending: int, known: int, brake: Brake) -> None:
    if not brakes(ending, known, brake):
        assert ending <= brake.people
        assert ending < 5 or ending * 100 <= brake.percent * known
        assert ending < 2 or ending < known


@given(_known, _brakes)
def test_one_leaver_never_stops_a_run(known: int, brake: Brake) -> None:
    assert not brakes(min(1, known), known, brake)


@pytest.mark.parametrize(("people", "percent"), [(0, 5), (1, 0), (1, 101), (-1, 5)])
def test_a_brake_that_lets_nobody_end_is_refused(people: int, percent: int) -> None:
    with pytest.raises(ValueError, match="brake"):
        Brake(people, percent)


@pytest.mark.parametrize(("before", "now", "expected"), [(1, 0, True), (3, 0, True), (0, 0, False), (2, 1, False), (0, 1, False)])
def test_losing_every_placement_counts_as_an_ending(before: int, now: int, expected: bool) -> None:
    assert is_loss(before, now) is expected


@given(st.datetimes(), st.datetimes())
def test_only_a_later_instant_of_a_password_or_none_at_all_is_another_password(known: datetime, said: datetime) -> None:
    known, said, none = known.replace(tzinfo=UTC), said.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    assert is_reset(known, said, no_instant=none) is (said > known or (said == none != known))
    assert is_reset(known, none, no_instant=none) is (known != none)
    assert not is_reset(None, said, no_instant=none)
    assert not is_reset(known, None, no_instant=none)
    assert not is_reset(said, said, no_instant=none)
