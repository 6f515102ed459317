"""Who may do what to whom: the one answer held against a second writing of the promise, over everything there is, and its invariants."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.acts import (
    ESTABLISHMENT_ONLY,
    GROUP_ACTS,
    GROUP_ADMINISTRATOR,
    GROUP_ONLY,
    LOOKING,
    MEANING,
    OPERATOR,
    ROLES,
    Act,
    Actor,
    Holding,
    Person,
    may,
    may_everywhere,
    may_give,
)
from tests.support.who_may import EVERYTHING, TABLE, Holdings, Target, is_allowed

HOMES = ("tilleuls", "glycines")
ONE_ROLE: tuple[Holdings, ...] = tuple(frozenset({(role, where)}) for role in TABLE for where in (None, *HOMES))
ACTORS: tuple[Holdings, ...] = (
    frozenset(),
    *ONE_ROLE,
    frozenset({("helpdesk_agent", "tilleuls"), ("auditor", "glycines")}),
    frozenset({("it_contact", "tilleuls"), ("it_contact", "glycines")}),
    frozenset({("it_contact", "tilleuls"), ("on_call_approver", None)}),
)
TARGETS: tuple[Target | None, ...] = (
    None,
    Target(is_self=True, works_at=frozenset({"tilleuls"})),
    *(Target(works_at=frozenset(places)) for places in ((), ("tilleuls",), ("glycines",), HOMES)),
    *(Target(works_at=frozenset(places), holdings=held) for places, held in product((("tilleuls",), HOMES), ONE_ROLE)),
    Target(works_at=frozenset({"tilleuls"}), is_break_glass=True),
)


def actor(holdings: Holdings) -> Actor:
    return Actor(account_id="me", holdings=tuple(Holding(role, where) for role, where in sorted(holdings, key=str)))


def person(target: Target | None) -> Person | None:
    if target is None:
        return None
    return Person(
        account_id="me" if target.is_self else "other",
        establishments=target.works_at,
        holdings=tuple(Holding(role, where) for role, where in target.holdings),
        is_break_glass=target.is_break_glass,
    )


def test_every_role_and_act_is_the_promised_one() -> None:
    assert {role: {str(act) for act in acts} for role, acts in ROLES.items()} == TABLE
    assert {str(act) for act in Act} == EVERYTHING == {str(act) for act in MEANING}
    assert not GROUP_ONLY & ESTABLISHMENT_ONLY
    assert set(ROLES) >= GROUP_ONLY | ESTABLISHMENT_ONLY


@pytest.mark.parametrize("act", list(Act))
def test_whoever_asks_gets_the_promised_answer_for_every_person_and_place(act: Act) -> None:
    wrong = [
        (holdings, target, place)
        for holdings, target, place in product(ACTORS, TARGETS, (None, *HOMES))
        if may(act, actor(holdings), person=person(target), establishment_id=place).is_allowed
        != is_allowed(str(act), holdings, target=target, place=place)
    ]
    assert wrong == []


roles = st.sampled_from(sorted(TABLE))
places = st.sampled_from(["a", "b", "c", "d"])
holding_sets = st.frozensets(st.tuples(roles, st.one_of(st.none(), places)), max_size=4)
targets = st.builds(
    Target, works_at=st.frozensets(places, max_size=3), holdings=holding_sets, is_self=st.booleans(), is_break_glass=st.booleans()
)


@given(st.sampled_from(list(Act)), holding_sets, st.one_of(st.none(), targets), st.one_of(st.none(), places))
def test_any_holdings_of_any_people_get_the_promised_answer(act: Act, holdings: Holdings, target: Target | None, place: str | None) -> None:
    decision = may(act, actor(holdings), person=person(target), establishment_id=place)
    assert decision.is_allowed == is_allowed(str(act), holdings, target=target, place=place)
    if target is not None and act not in LOOKING and (target.is_self or target.is_break_glass):
        assert not decision.is_allowed


@given(st.sampled_from(list(Act)), holding_sets, targets, st.tuples(roles, st.one_of(st.none(), places)))
def test_whoever_gains_a_role_is_never_easier_to_act_on(
    act: Act, holdings: Holdings, target: Target, gained: tuple[str, str | None]
) -> None:
    before = may(act, actor(holdings), person=person(target))
    more = Target(target.works_at, target.holdings | {gained}, is_self=target.is_self, is_break_glass=target.is_break_glass)
    if not before.is_allowed:
        assert not may(act, actor(holdings), person=person(more)).is_allowed


@given(st.sampled_from(list(Act)), holding_sets)
def test_what_reaches_the_whole_group_is_held_in_the_whole_group(act: Act, holdings: Holdings) -> None:
    assert may_everywhere(act, actor(holdings)).is_allowed == is_allowed(str(act), holdings, in_whole_group=True)
    if act in GROUP_ACTS:
        assert may(act, actor(holdings)).is_allowed == may_everywhere(act, actor(holdings)).is_allowed


@given(holding_sets, st.tuples(roles, st.one_of(st.none(), places)))
def test_nobody_gives_a_role_that_opens_more_than_they_hold(holdings: Holdings, given_role: tuple[str, str | None]) -> None:
    role, where = given_role
    who = actor(holdings)
    assert may_give(who, Holding(role, where)).is_allowed == all(who.holds(Act(act), where) for act in TABLE[role])


def test_a_role_that_is_not_in_the_table_opens_nothing_and_is_given_by_those_who_may_do_everything() -> None:
    """Of an older or a newer release: its holder does nothing with it, and is acted on from the top only."""
    odd = Holding("emperor")
    assert not any(may(act, Actor(account_id="me", holdings=(odd,))).is_allowed for act in Act)
    holder = Person(account_id="other", establishments=frozenset({"a"}), holdings=(odd,))
    contact = Actor(account_id="me", holdings=(Holding("it_contact", "a"),))
    assert may(Act.SUSPEND, contact, person=holder).reasons == ("act_upwards",)
    assert not may_give(contact, odd).is_allowed
    assert may(Act.SUSPEND, OPERATOR, person=holder).is_allowed
    assert OPERATOR.holdings == (Holding(GROUP_ADMINISTRATOR),)
