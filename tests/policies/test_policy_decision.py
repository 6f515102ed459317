"""policies.decision: what several rules make together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.decision import Decision, Verdict, allow, combine, deny, require

_code = st.sampled_from(["alpha", "beta", "gamma_two", "delta3"])
_decision = st.one_of(
    _code.map(allow),
    _code.map(deny),
    st.builds(
        lambda needs, reason: require(*needs, reason=reason),
        st.lists(st.sampled_from(["second_factor", "consent", "fresh_proof"]), min_size=1),
        _code,
    ),
)
_decisions = st.lists(_decision, max_size=6)


def test_combine_denies_when_nothing_was_said() -> None:
    decision = combine([])
    assert decision.verdict is Verdict.DENY
    assert decision.reasons == ("nothing_said",)


@pytest.mark.parametrize(
    ("decisions", "verdict", "reasons", "requirements"),
    [
        ([allow("a")], Verdict.ALLOW, ("a",), set()),
        ([allow("a"), allow("b"), allow("a")], Verdict.ALLOW, ("a", "b"), set()),
        ([allow("a"), require("otp", reason="outside")], Verdict.REQUIRE, ("outside",), {"otp"}),
        (
            [require("otp", reason="outside"), require("consent", "otp", reason="client")],
            Verdict.REQUIRE,
            ("outside", "client"),
            {"otp", "consent"},
        ),
        ([require("otp", reason="outside"), deny("ended"), allow("a")], Verdict.DENY, ("ended",), set()),
        ([deny("ended"), deny("unknown")], Verdict.DENY, ("ended", "unknown"), set()),
    ],
)
def test_combine_takes_the_strongest_verdict(
    decisions: list[Decision], verdict: Verdict, reasons: tuple[str, ...], requirements: set[str]
) -> None:
    combined = combine(decisions)
    assert (combined.verdict, combined.reasons, combined.requirements) == (verdict, reasons, frozenset(requirements))


def test_combine_keeps_what_was_overruled_in_the_trace() -> None:
    combined = combine([allow("network_inside", detail="10.0.0.4"), deny("account_not_active")])
    assert [(line.verdict, line.reason, line.detail) for line in combined.trace] == [
        (Verdict.ALLOW, "network_inside", "10.0.0.4"),
        (Verdict.DENY, "account_not_active", ""),
    ]


def test_combine_traces_a_decision_that_was_built_without_a_trace() -> None:
    combined = combine([Decision(Verdict.DENY, ("one", "two"))])
    assert [line.reason for line in combined.trace] == ["one", "two"]


@pytest.mark.parametrize(
    ("verdict", "reasons", "requirements"),
    [
        (Verdict.ALLOW, (), frozenset()),
        (Verdict.ALLOW, ("Not A Code",), frozenset()),
        (Verdict.ALLOW, ("trailing_\n",), frozenset()),
        (Verdict.ALLOW, ("ok",), frozenset({"otp"})),
        (Verdict.DENY, ("no",), frozenset({"otp"})),
        (Verdict.REQUIRE, ("more",), frozenset()),
        (Verdict.REQUIRE, ("more",), frozenset({"Two words"})),
    ],
)
def test_a_malformed_decision_cannot_be_built(verdict: Verdict, reasons: tuple[str, ...], requirements: frozenset[str]) -> None:
    with pytest.raises(ValueError, match=r"reason|snake_case|REQUIRE"):
        Decision(verdict, reasons, requirements=requirements)


def test_require_refuses_to_require_nothing() -> None:
    with pytest.raises(ValueError, match="REQUIRE"):
        require(reason="outside")


@given(_decisions, _code)
def test_adding_a_deny_never_widens(decisions: list[Decision], reason: str) -> None:
    assert combine([*decisions, deny(reason)]).is_denied
    assert combine([deny(reason), *decisions]).is_denied


@given(_decisions.filter(bool), _decision)
def test_adding_a_decision_never_drops_a_requirement_or_softens_the_verdict(decisions: list[Decision], added: Decision) -> None:
    order = [Verdict.ALLOW, Verdict.REQUIRE, Verdict.DENY]
    before, after = combine(decisions), combine([*decisions, added])
    assert order.index(after.verdict) >= order.index(before.verdict)
    assert after.is_denied or before.requirements <= after.requirements


@given(_decisions.filter(bool), _decisions.filter(bool))
def test_combining_in_steps_or_at_once_is_the_same(left: list[Decision], right: list[Decision]) -> None:
    assert combine([combine(left), combine(right)]) == combine([*left, *right])


@given(st.permutations([allow("a"), deny("b"), require("otp", reason="c"), deny("d")]))
def test_the_order_of_the_rules_does_not_change_the_verdict(decisions: list[Decision]) -> None:
    combined = combine(decisions)
    assert combined.verdict is Verdict.DENY
    assert set(combined.reasons) == {"b", "d"}
