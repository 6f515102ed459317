"""policies.rules: what a set of rules says of a sign-in, why, and how rules and their cases are read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from policies.decision import Verdict
from policies.rules import (
    DEFAULT_RULE_SET,
    DEFAULT_RULES,
    Outcome,
    Requirement,
    RuleError,
    SignInFacts,
    parse_cases,
    parse_rules,
    run_cases,
)

PARIS = ZoneInfo("Europe/Paris")
A, R, D = "allow", "require", "deny"
SECOND = {"second_factor"}


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS)


# A nurse at her desk on a Tuesday morning.
INSIDE = SignInFacts(
    zone="tilleuls/soins",
    zone_kind="trusted",
    client="dossier",
    profiles=frozenset({"nurse"}),
    establishment="tilleuls",
    level="tolerant",
    local_time=_at("2026-03-10T09:00"),
    connector="annuaire",
    methods=frozenset({"password"}),
    factors=frozenset(),
    device_known=True,
    workstation=False,
    requested_acr=frozenset(),
    administrator=False,
    break_glass=False,
    degraded=False,
)
OUTSIDE = replace(INSIDE, zone="outside", zone_kind="outside")


def _with(facts: SignInFacts, **changes: Any) -> SignInFacts:
    return replace(facts, **changes)


@pytest.mark.parametrize(
    ("facts", "verdict", "reasons", "requirements"),
    [
        (INSIDE, A, ("inside",), set()),
        (_with(INSIDE, zone_kind="shared_workstation"), A, ("inside",), set()),
        (OUTSIDE, R, ("second_factor_outside",), SECOND),
        (_with(OUTSIDE, zone="tilleuls/tunnel", zone_kind="vpn"), R, ("second_factor_outside",), SECOND),
        (_with(OUTSIDE, zone="tilleuls/invites", zone_kind="blocked"), D, ("blocked_network",), set()),
        (_with(INSIDE, zone_kind="blocked", administrator=True), D, ("blocked_network",), set()),
        (_with(INSIDE, zone_kind="blocked", break_glass=True), D, ("blocked_network",), set()),
        (_with(INSIDE, administrator=True), R, ("second_factor_for_administrators",), SECOND),
        (_with(INSIDE, zone_kind="shared_workstation", administrator=True), R, ("second_factor_for_administrators",), SECOND),
        (_with(OUTSIDE, administrator=True), R, ("second_factor_outside", "second_factor_for_administrators"), SECOND),
        (_with(OUTSIDE, break_glass=True), A, ("break_glass",), set()),
        (_with(INSIDE, break_glass=True), A, ("inside", "break_glass"), set()),
        (_with(INSIDE, break_glass=True, administrator=True), A, ("inside", "break_glass"), set()),
        (_with(OUTSIDE, break_glass=True, administrator=True), A, ("break_glass",), set()),
        # What is not known never allows, and asks or refuses where it would have mattered.
        (_with(INSIDE, zone_kind=None), D, ("blocked_network",), set()),
        (_with(INSIDE, administrator=None), R, ("second_factor_for_administrators",), SECOND),
        (_with(INSIDE, break_glass=None), A, ("inside",), set()),
        (_with(OUTSIDE, break_glass=None), D, ("nothing_said",), set()),
        (_with(INSIDE, administrator=True, break_glass=None), R, ("second_factor_for_administrators",), SECOND),
        (_with(OUTSIDE, administrator=True, break_glass=None), D, ("nothing_said",), set()),
        (_with(INSIDE, client=None, profiles=None, local_time=None, device_known=None, factors=None), A, ("inside",), set()),
        (SignInFacts(), D, ("blocked_network",), set()),
        (SignInFacts(zone_kind="outside"), D, ("nothing_said",), set()),
        (SignInFacts(zone_kind="trusted"), R, ("second_factor_for_administrators",), SECOND),
        (SignInFacts(zone_kind="a kind of tomorrow", administrator=False, break_glass=False), R, ("second_factor_outside",), SECOND),
        (_with(INSIDE, degraded=True, factors=frozenset({"totp"}), device_known=False), A, ("inside",), set()),
    ],
)
def test_the_default_rules_spare_the_gesture_inside_and_nowhere_else(
    facts: SignInFacts, verdict: str, reasons: tuple[str, ...], requirements: set[str]
) -> None:
    ruling = DEFAULT_RULE_SET.decide(facts)
    assert ruling.decision.verdict == verdict
    assert ruling.decision.reasons == reasons
    assert ruling.decision.requirements == requirements
    assert {one.proof for one in ruling.requirements} == requirements


NIGHT = {"time": {"from": "21:00", "to": "06:30"}}
DAY = {"time": {"from": "08:00", "to": "18:00"}}


@pytest.mark.parametrize(
    ("when", "facts", "is_met"),
    [
        ({"zone": ["tilleuls/soins"]}, INSIDE, True),
        ({"zone": ["glycines/soins"]}, INSIDE, False),
        ({"zone": ["glycines/soins", "outside"]}, OUTSIDE, True),
        ({"zone": ["tilleuls/soins"]}, _with(INSIDE, zone=None), None),
        ({"zone_kind": ["trusted"]}, INSIDE, True),
        ({"zone_kind": ["vpn", "outside"]}, INSIDE, False),
        ({"zone_kind": ["trusted"]}, _with(INSIDE, zone_kind=None), None),
        ({"client": ["dossier", "planning"]}, INSIDE, True),
        ({"client": ["planning"]}, INSIDE, False),
        ({"client": ["planning"]}, _with(INSIDE, client=None), None),
        ({"profile": ["nurse"]}, INSIDE, True),
        ({"profile": ["doctor", "nurse"]}, _with(INSIDE, profiles=frozenset({"aide", "nurse"})), True),
        ({"profile": ["doctor"]}, INSIDE, False),
        ({"profile": ["doctor"]}, _with(INSIDE, profiles=frozenset()), False),
        ({"profile": ["doctor"]}, _with(INSIDE, profiles=None), None),
        ({"establishment": ["tilleuls"]}, INSIDE, True),
        ({"establishment": ["glycines"]}, INSIDE, False),
        ({"establishment": ["glycines"]}, _with(INSIDE, establishment=None), None),
        ({"level": ["tolerant"]}, INSIDE, True),
        ({"level": ["rie-2026", "psc"]}, INSIDE, False),
        ({"level": ["psc"]}, _with(INSIDE, level=None), None),
        ({"connector": ["annuaire"]}, INSIDE, True),
        ({"connector": ["local"]}, INSIDE, False),
        ({"connector": ["local"]}, _with(INSIDE, connector=None), None),
        ({"method": ["password"]}, INSIDE, True),
        ({"method": ["windows", "passkey_verified"]}, INSIDE, False),
        ({"method": ["windows"]}, _with(INSIDE, methods=None), None),
        ({"factor": ["totp", "passkey"]}, _with(INSIDE, factors=frozenset({"passkey"})), True),
        ({"factor": ["totp"]}, INSIDE, False),
        ({"factor": ["totp"]}, _with(INSIDE, factors=None), None),
        ({"requested_acr": ["phr"]}, _with(INSIDE, requested_acr=frozenset({"phr"})), True),
        ({"requested_acr": ["phr"]}, INSIDE, False),
        ({"requested_acr": ["phr"]}, _with(INSIDE, requested_acr=None), None),
        ({"device_known": True}, INSIDE, True),
        ({"device_known": False}, INSIDE, False),
        ({"device_known": False}, _with(INSIDE, device_known=False), True),
        ({"device_known": True}, _with(INSIDE, device_known=None), None),
        ({"workstation": False}, INSIDE, True),
        ({"administrator": True}, INSIDE, False),
        ({"break_glass": False}, INSIDE, True),
        ({"degraded": True}, _with(INSIDE, degraded=None), None),
        (DAY, _with(INSIDE, local_time=_at("2026-03-10T08:00")), True),
        (DAY, _with(INSIDE, local_time=_at("2026-03-10T07:59")), False),
        (DAY, _with(INSIDE, local_time=_at("2026-03-10T17:59")), True),
        (DAY, _with(INSIDE, local_time=_at("2026-03-10T18:00")), False),
        (DAY, _with(INSIDE, local_time=None), None),
        (NIGHT, _with(INSIDE, local_time=_at("2026-03-10T21:00")), True),
        (NIGHT, _with(INSIDE, local_time=_at("2026-03-10T23:59")), True),
        (NIGHT, _with(INSIDE, local_time=_at("2026-03-11T00:00")), True),
        (NIGHT, _with(INSIDE, local_time=_at("2026-03-11T06:29")), True),
        (NIGHT, _with(INSIDE, local_time=_at("2026-03-11T06:30")), False),
        (NIGHT, _with(INSIDE, local_time=_at("2026-03-11T20:59")), False),
        # The wall clock of the place counts, summer time or not: 29 March and 25 October 2026.
        (NIGHT, _with(INSIDE, local_time=_at("2026-03-29T03:30")), True),
        (NIGHT, _with(INSIDE, local_time=_at("2026-10-25T02:30").replace(fold=1)), True),
        (NIGHT, _with(INSIDE, local_time=datetime(2026, 3, 10, 20, 30, tzinfo=UTC).astimezone(PARIS)), True),
        ({"weekdays": ["tue"]}, INSIDE, True),
        ({"weekdays": ["sat", "sun"]}, INSIDE, False),
        ({"weekdays": ["sat"]}, _with(INSIDE, local_time=None), None),
        # The day is the calendar's: the night of Friday is Saturday's after midnight.
        ({"weekdays": ["fri"], **NIGHT}, _with(INSIDE, local_time=_at("2026-03-14T02:00")), False),
        ({"weekdays": ["sat"], **NIGHT}, _with(INSIDE, local_time=_at("2026-03-14T02:00")), True),
        # Several criteria are all to be met; groups as Kleene has them.
        ({"client": ["dossier"], "profile": ["nurse"]}, INSIDE, True),
        ({"client": ["dossier"], "profile": ["doctor"]}, INSIDE, False),
        ({"client": ["dossier"], "profile": ["doctor"]}, _with(INSIDE, client=None), False),
        ({"client": ["dossier"], "profile": ["nurse"]}, _with(INSIDE, client=None), None),
        ({"client": ["dossier"], "profile": ["nurse"]}, _with(INSIDE, profiles=None), None),
        ({"client": ["x"], "profile": ["nurse"]}, _with(INSIDE, profiles=None), False),
        ({"client": ["dossier"], "profile": ["nurse"], "device_known": True}, INSIDE, True),
        ({"client": ["dossier"], "profile": ["nurse"], "device_known": True}, _with(INSIDE, client=None, device_known=False), False),
        ({"client": ["dossier"], "profile": ["nurse"], "device_known": True}, _with(INSIDE, device_known=None), None),
        ({"any": [{"client": ["x"]}, {"profile": ["nurse"]}]}, INSIDE, True),
        ({"any": [{"client": ["x"]}, {"profile": ["nurse"]}]}, _with(INSIDE, client=None), True),
        ({"any": [{"client": ["x"]}, {"profile": ["doctor"]}]}, _with(INSIDE, client=None), None),
        ({"any": [{"client": ["x"]}, {"profile": ["doctor"]}]}, INSIDE, False),
        ({"all": [{"client": ["dossier"]}, {"not": {"profile": ["doctor"]}}]}, INSIDE, True),
        ({"all": [{"client": ["dossier"]}, {"not": {"profile": ["doctor"]}}]}, _with(INSIDE, profiles=None), None),
        ({"not": {"client": ["dossier"]}}, INSIDE, False),
        ({"not": {"client": ["dossier"]}}, _with(INSIDE, client=None), None),
        ({"not": {"client": ["x"], "profile": ["nurse"]}}, INSIDE, True),
        ({"not": {"client": ["x"], "profile": ["nurse"]}}, _with(INSIDE, profiles=None), True),
        ({"not": {"not": {"client": ["dossier"]}}}, _with(INSIDE, client=None), None),
        ({"not": {"any": [{"client": ["x"]}, {"device_known": True}]}}, _with(INSIDE, client=None), False),
        ({"not": {"any": [{"client": ["x"]}, {"device_known": False}]}}, _with(INSIDE, client=None), None),
        ({}, SignInFacts(), True),
    ],
)
def test_a_criterion_is_met_not_met_or_not_known(when: dict[str, Any], facts: SignInFacts, is_met: bool | None) -> None:
    """Each seen through all three effects: an allowance needs a yes, a requirement and a denial need the absence of a no."""
    rule = {"name": "this", "when": when}
    base = {"name": "base", "effect": "allow"}
    allows = parse_rules([{**rule, "effect": "allow"}]).decide(facts).decision
    assert allows.verdict is (Verdict.ALLOW if is_met is True else Verdict.DENY)
    denies = parse_rules([base, {**rule, "effect": "deny"}]).decide(facts).decision
    assert denies.verdict is (Verdict.ALLOW if is_met is False else Verdict.DENY)
    requires = parse_rules([base, {**rule, "effect": "require", "require": ["second_factor"]}]).decide(facts).decision
    assert requires.verdict is (Verdict.ALLOW if is_met is False else Verdict.REQUIRE)
    alone = parse_rules([{**rule, "effect": "require", "require": ["second_factor"]}]).decide(facts).decision
    assert alone.verdict is (Verdict.REQUIRE if is_met is True else Verdict.DENY)
    outcome = {True: Outcome.MATCHED, False: Outcome.NOT_MATCHED, None: Outcome.UNKNOWN}[is_met]
    assert parse_rules([{**rule, "effect": "allow"}]).explain(facts).rules[0].outcome is outcome


ALL = {"name": "all", "effect": "allow"}


def _asks(name: str, *require: Any, **rest: Any) -> dict[str, Any]:
    return {"name": name, "effect": "require", "require": list(require), **rest}


@pytest.mark.parametrize(
    ("rules", "requirements"),
    [
        ([_asks("a", "second_factor")], (Requirement("second_factor"),)),
        ([_asks("a", "second_factor"), _asks("b", "second_factor")], (Requirement("second_factor"),)),
        (
            [_asks("a", "second_factor"), _asks("b", {"proof": "second_factor", "within": "12h"})],
            (Requirement("second_factor", timedelta(hours=12)),),
        ),
        (
            [_asks("a", {"proof": "second_factor", "within": "30m"}), _asks("b", {"proof": "second_factor", "within": "12h"})],
            (Requirement("second_factor", timedelta(minutes=30)),),
        ),
        (
            [_asks("a", "second_factor", "phishing_resistant"), _asks("b", {"proof": "phishing_resistant", "within": "7d"})],
            (Requirement("phishing_resistant", timedelta(days=7)), Requirement("second_factor")),
        ),
        ([_asks("a", "fresh_sign_in")], (Requirement("fresh_sign_in", timedelta(minutes=5)),)),
        ([_asks("a", {"proof": "fresh_sign_in", "within": "90s"})], (Requirement("fresh_sign_in", timedelta(seconds=90)),)),
        ([_asks("a", "second_factor"), _asks("b", "phishing_resistant", observe=True)], (Requirement("second_factor"),)),
        ([_asks("a", "second_factor"), _asks("b", "phishing_resistant", when={"client": ["x"]})], (Requirement("second_factor"),)),
        ([ALL, _asks("b", "phishing_resistant", when={"client": ["dossier"]})], (Requirement("phishing_resistant"),)),
    ],
)
def test_requirements_add_up_and_the_freshest_wins(rules: list[dict[str, Any]], requirements: tuple[Requirement, ...]) -> None:
    for order in (rules, rules[::-1]):
        ruling = parse_rules(order).decide(INSIDE)
        assert ruling.decision.verdict is Verdict.REQUIRE
        assert ruling.requirements == requirements


def test_an_observed_rule_is_recorded_and_changes_nothing() -> None:
    rules = parse_rules(
        [
            ALL,
            {"name": "draft-night", "effect": "deny", "when": {"profile": ["nurse"]}, "observe": True},
            {"name": "draft-vpn", "effect": "deny", "when": {"zone_kind": ["vpn"]}, "observe": True},
        ]
    )
    ruling = rules.decide(INSIDE)
    assert ruling.decision.is_allowed
    assert [line.reason for line in ruling.decision.trace] == ["all"]
    assert [(line.reason, line.verdict) for line in ruling.observed] == [("draft_night", Verdict.DENY)]
    assert rules.explain(INSIDE).rules[1].is_observed
    assert rules.explain(INSIDE).rules[1].fires
    assert ruling.as_json()["observed"] == [{"reason": "draft_night", "verdict": "deny"}]


def test_a_rule_that_fires_in_doubt_says_so_in_the_trace() -> None:
    trace = DEFAULT_RULE_SET.decide(_with(INSIDE, administrator=None)).decision.trace
    assert [(line.reason, line.detail) for line in trace] == [("inside", ""), ("second_factor_for_administrators", "unknown")]


def test_facts_come_back_from_an_event_as_they_were() -> None:
    for facts in (INSIDE, OUTSIDE, SignInFacts(), _with(INSIDE, requested_acr=None, factors=frozenset({"totp", "passkey"}))):
        assert SignInFacts.from_json(facts.as_json()) == facts
    stored = _with(INSIDE, local_time=_at("2026-07-10T23:10")).as_json()
    assert stored["local_time"] == "2026-07-10T23:10:00+02:00"
    assert SignInFacts.from_json({**stored, "a fact of tomorrow": 3}).local_time == _at("2026-07-10T23:10")


@pytest.mark.parametrize(
    "stored",
    [
        {"zone": 3},
        {"profiles": "nurse"},
        {"profiles": [3]},
        {"device_known": "yes"},
        {"local_time": "soon"},
        {"local_time": "2026-03-10T09:00"},
    ],
)
def test_facts_of_a_wrong_shape_are_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SignInFacts.from_json(stored)


OK = {"name": "ok", "effect": "allow"}


@pytest.mark.parametrize(
    ("raw", "path", "text"),
    [
        ({}, "policy.rules", "list of rules"),
        ([], "policy.rules", "everybody would be refused"),
        ([{"name": "no", "effect": "deny"}], "policy.rules", "everybody would be refused"),
        (["inside"], "policy.rules[0]", "must be a rule"),
        ([{"effect": "allow"}], "policy.rules[0].name", "lower-case words"),
        ([{"name": "Not Good", "effect": "allow"}], "policy.rules[0].name", "lower-case words"),
        ([{"name": "nothing-said", "effect": "allow"}], "policy.rules[0].name", "choose another"),
        ([OK, OK], "policy.rules[1].name", "also the name of policy.rules[0]"),
        ([{"name": "a", "effect": "alow"}], "policy.rules[0].effect", "did you mean allow?"),
        ([{"name": "a"}], "policy.rules[0].effect", "one of allow, require, deny"),
        ([{"name": "a", "effect": "allow", "wen": {}}], "policy.rules[0].wen", "did you mean when?"),
        ([{"name": "a", "effect": "allow", "client": ["x"]}], "policy.rules[0].client", "did you mean when.client?"),
        ([{"name": "a", "effect": "allow", "require": ["second_factor"]}], "policy.rules[0].require", "goes with `effect: require`"),
        ([{"name": "a", "effect": "require"}], "policy.rules[0].require", "is missing"),
        ([{"name": "a", "effect": "require", "require": []}], "policy.rules[0].require", "is empty"),
        ([{"name": "a", "effect": "require", "require": "second_factor"}], "policy.rules[0].require", "must be a list"),
        ([_asks("a", "second_facter")], "policy.rules[0].require[0]", "did you mean second_factor?"),
        ([_asks("a", 3)], "policy.rules[0].require[0]", "name of a proof"),
        ([_asks("a", {"proof": "second_factor", "within": "a day"})], "policy.rules[0].require[0].within", "duration"),
        ([_asks("a", {"proof": "second_factor", "within": 12})], "policy.rules[0].require[0].within", "duration"),
        ([_asks("a", {"proof": "second_factor", "withn": "1h"})], "policy.rules[0].require[0].withn", "did you mean within?"),
        ([{"name": "a", "effect": "allow", "observe": "yes"}], "policy.rules[0].observe", "true or false"),
        ([{**OK, "when": ["x"]}], "policy.rules[0].when", "must be criteria"),
        ([{**OK, "when": {"zone_knd": ["trusted"]}}], "policy.rules[0].when.zone_knd", "did you mean zone_kind?"),
        ([{**OK, "when": {"profiles": ["nurse"]}}], "policy.rules[0].when.profiles", "did you mean profile?"),
        ([{**OK, "when": {"zone_kind": ["trustd"]}}], "policy.rules[0].when.zone_kind[0]", "did you mean trusted?"),
        ([{**OK, "when": {"zone_kind": []}}], "policy.rules[0].when.zone_kind", "is empty"),
        ([{**OK, "when": {"zone_kind": "trusted"}}], "policy.rules[0].when.zone_kind", "must be a list: [trusted]"),
        ([{**OK, "when": {"zone": ["trusted"]}}], "policy.rules[0].when.zone[0]", "zone_kind"),
        ([{**OK, "when": {"client": [42]}}], "policy.rules[0].when.client[0]", "in quotes"),
        ([{**OK, "when": {"client": [None]}}], "policy.rules[0].when.client[0]", "must be text"),
        ([{**OK, "when": {"level": ["rie"]}}], "policy.rules[0].when.level[0]", "rie-2026"),
        ([{**OK, "when": {"method": ["passkeys"]}}], "policy.rules[0].when.method[0]", "did you mean passkey?"),
        ([{**OK, "when": {"factor": ["top"]}}], "policy.rules[0].when.factor[0]", "did you mean totp?"),
        ([{**OK, "when": {"weekdays": ["monday"]}}], "policy.rules[0].when.weekdays[0]", "did you mean mon?"),
        ([{**OK, "when": {"device_known": "true"}}], "policy.rules[0].when.device_known", "true or false"),
        ([{**OK, "when": {"time": "21:00"}}], "policy.rules[0].when.time", "both ends"),
        ([{**OK, "when": {"time": {"from": "21:00"}}}], "policy.rules[0].when.time.to", "is missing"),
        ([{**OK, "when": {"time": {"from": 1260, "to": "06:30"}}}], "policy.rules[0].when.time.from", "in quotes"),
        ([{**OK, "when": {"time": {"from": "24:00", "to": "06:30"}}}], "policy.rules[0].when.time.from", "time of day"),
        ([{**OK, "when": {"time": {"from": "06:30", "to": "06:30"}}}], "policy.rules[0].when.time", "same minute"),
        ([{**OK, "when": {"time": {"from": "06:30", "to": "08:00", "at": "x"}}}], "policy.rules[0].when.time.at", "no such key"),
        ([{**OK, "when": {"any": []}}], "policy.rules[0].when.any", "at least one"),
        ([{**OK, "when": {"any": [{}]}}], "policy.rules[0].when.any[0]", "holds no criterion"),
        ([{**OK, "when": {"not": {}}}], "policy.rules[0].when.not", "holds no criterion"),
        ([{**OK, "when": {"not": {"any": [{"clint": ["x"]}]}}}], "policy.rules[0].when.not.any[0].clint", "did you mean client?"),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_its_place(raw: object, path: str, text: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rules(raw)
    (mistake,) = caught.value.mistakes
    assert mistake.path == path
    assert text in mistake.text


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(RuleError) as caught:
        parse_rules([{"name": "A", "effect": "x", "when": {"zone_kind": ["t"], "tim": 3}}, {"name": "b", "effect": "allow", "require": []}])
    assert len(caught.value.mistakes) == 5


def test_rules_nested_beyond_reason_are_refused() -> None:
    when: dict[str, Any] = {"client": ["x"]}
    for _ in range(12):
        when = {"not": when}
    with pytest.raises(RuleError, match="nested"):
        parse_rules([{**OK, "when": when}])


def test_a_name_that_does_not_exist_is_a_mistake_where_the_names_are_known() -> None:
    raw = [{**OK, "when": {"client": ["dosier"], "establishment": ["tilleuls"], "zone": ["outside", "tilleuls/soin"]}}]
    assert parse_rules(raw)
    with pytest.raises(RuleError) as caught:
        parse_rules(raw, known={"client": {"dossier"}, "establishment": {"tilleuls"}, "zone": {"tilleuls/soins"}})
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        "policy.rules[0].when.client[0]: there is no client 'dosier'; did you mean dossier?",
        "policy.rules[0].when.zone[1]: there is no zone 'tilleuls/soin'; did you mean tilleuls/soins?",
    ]


def test_no_rules_at_all_are_the_default_ones() -> None:
    assert parse_rules(None) is DEFAULT_RULE_SET
    assert [rule.name for rule in DEFAULT_RULE_SET.rules] == [rule["name"] for rule in DEFAULT_RULES]


def test_an_explanation_shows_each_criterion_with_what_was_seen() -> None:
    explanation = DEFAULT_RULE_SET.explain(_with(OUTSIDE, administrator=None))
    assert explanation.summary == "require second_factor (second_factor_outside, second_factor_for_administrators)"
    blocked, _inside, outside, administrators, _glass = explanation.rules
    assert blocked.criteria[0].text == "zone_kind: blocked; it was outside: not matched"
    assert [part.name for part in outside.criteria[0].parts[0].parts] == ["zone_kind", "break_glass"]
    assert [one.outcome for one in administrators.criteria] == [Outcome.UNKNOWN, Outcome.MATCHED]
    assert "what is not known counts against" in administrators.text
    text = "\n".join(explanation.lines())
    assert "administrator: yes; it was unknown: unknown" in text
    assert explanation.as_json()["rules"][2]["fires"] is True


def test_an_explanation_says_what_would_have_changed_it() -> None:
    explanation = DEFAULT_RULE_SET.explain(OUTSIDE)
    assert explanation.decisive == ("second-factor-outside",)
    assert [change.text for change in explanation.changes] == [
        "zone_kind blocked instead of outside: deny (blocked_network)",
        "zone_kind shared_workstation or trusted instead of outside: allow (inside)",
        "break_glass yes instead of no: allow (break_glass)",
    ]


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ({"time": {"from": "08:00", "to": "18:00"}}, "time 07:59 or 18:00 instead of 09:00: allow (all)"),
        ({"weekdays": ["tue"]}, "weekdays wed or thu or fri or sat or sun or mon instead of tue: allow (all)"),
        ({"not": {"factor": ["passkey"]}}, "factor passkey instead of none: allow (all)"),
        ({"profile": ["nurse"]}, "profile none instead of nurse: allow (all)"),
        ({"client": ["dossier"]}, "client (another) instead of dossier: allow (all)"),
        ({"device_known": True}, "device_known no instead of yes: allow (all)"),
        ({"zone": ["tilleuls/soins"]}, "zone (another) instead of tilleuls/soins: allow (all)"),
        ({"level": ["tolerant"]}, "level (another) instead of tolerant: allow (all)"),
        ({"requested_acr": ["phr"]}, None),
    ],
)
def test_every_kind_of_fact_is_tried(when: dict[str, Any], text: str | None) -> None:
    rules = parse_rules([ALL, {"name": "no", "effect": "deny", "when": when}])
    told = [change.text for change in rules.explain(INSIDE).changes]
    assert text in told if text else told == ["requested_acr phr instead of none: deny (no)"]


def test_a_change_of_place_changes_zone_and_kind_together() -> None:
    rules = parse_rules([{"name": "in", "effect": "allow", "when": {"zone_kind": ["trusted"], "not": {"zone": ["outside"]}}}])
    assert [change.text for change in rules.explain(OUTSIDE).changes] == [
        "zone (another) instead of outside: allow (in)",
        "zone_kind trusted instead of outside: allow (in)",
    ]


def test_no_rule_is_decisive_when_two_say_the_same() -> None:
    rules = parse_rules([ALL, {"name": "one", "effect": "deny"}, {"name": "two", "effect": "deny"}])
    assert rules.explain(INSIDE).decisive == ()


CASES = [
    {"name": "a nurse at her desk", "given": {"zone_kind": "trusted", "administrator": False}, "expect": "allow", "reason": "inside"},
    {
        "name": "at home",
        "given": {"zone_kind": "outside", "profile": ["nurse"], "break_glass": False, "administrator": False},
        "expect": "require",
        "require": ["second_factor"],
        "reason": "second-factor-outside",
    },
    {"name": "nothing is known", "expect": "deny"},
    {"name": "glass", "given": {"zone_kind": "outside", "break_glass": True, "time": "tue 22:30", "factor": []}, "expect": "allow"},
]


def test_cases_that_hold_pass() -> None:
    results = run_cases(DEFAULT_RULE_SET, parse_cases(CASES))
    assert results.passed
    assert results.count == len(CASES)


def test_the_facts_of_an_event_can_be_pasted_into_a_case() -> None:
    (case,) = parse_cases([{"name": "that day", "given": OUTSIDE.as_json(), "expect": "require"}])
    assert case.facts == OUTSIDE


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"expect": "deny", "require": None}, "at home: deny was expected and the rules say require (second_factor_outside)"),
        (
            {"require": ["phishing_resistant"]},
            "at home: phishing_resistant was expected to be required and the rules require second_factor",
        ),
        (
            {"require": [{"proof": "second_factor", "within": "12h"}]},
            "at home: second_factor within 12h was expected to be required and the rules require second_factor",
        ),
        ({"reason": "inside"}, "at home: the reason inside was expected and the rules say require (second_factor_outside)"),
    ],
)
def test_a_case_that_comes_out_otherwise_is_told_in_plain_words(change: dict[str, Any], text: str) -> None:
    case = {key: value for key, value in {**CASES[1], **change}.items() if value is not None}
    results = run_cases(DEFAULT_RULE_SET, parse_cases([CASES[0], case]))
    assert not results.passed
    assert [(failure.index, failure.text) for failure in results.failures] == [(1, text)]


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ({}, "policy.tests"),
        (["x"], "policy.tests[0]"),
        ([{"name": "", "expect": "allow"}], "policy.tests[0].name"),
        ([{"name": "a"}], "policy.tests[0].expect"),
        ([{"name": "a", "expect": "maybe"}], "policy.tests[0].expect"),
        ([{"name": "a", "expect": "allow", "gven": {}}], "policy.tests[0].gven"),
        ([{"name": "a", "expect": "allow", "require": ["second_factor"]}], "policy.tests[0].require"),
        ([{"name": "a", "expect": "require", "require": ["second"]}], "policy.tests[0].require[0]"),
        ([{"name": "a", "expect": "allow", "reason": 3}], "policy.tests[0].reason"),
        ([{"name": "a", "expect": "allow", "given": []}], "policy.tests[0].given"),
        ([{"name": "a", "expect": "allow", "given": {"zon": "x"}}], "policy.tests[0].given.zon"),
        ([{"name": "a", "expect": "allow", "given": {"zone_kind": "trustd"}}], "policy.tests[0].given.zone_kind"),
        ([{"name": "a", "expect": "allow", "given": {"profile": "nurse", "profiles": ["aide"]}}], "policy.tests[0].given.profiles"),
        ([{"name": "a", "expect": "allow", "given": {"time": "22:30"}}], "policy.tests[0].given.time"),
        ([{"name": "a", "expect": "allow", "given": {"device_known": "no"}}], "policy.tests[0].given.device_known"),
        ([{"name": "a", "expect": "allow"}, {"name": "a", "expect": "deny"}], "policy.tests[1].name"),
    ],
)
def test_a_mistake_in_a_case_is_told_with_its_place(raw: object, path: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_cases(raw)
    assert [mistake.path for mistake in caught.value.mistakes] == [path]
