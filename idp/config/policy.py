"""The rules of the decision as settings, their test cases, and what check-config says of them.

Owns PolicySettings and its findings. Rules and cases are read, judged and explained by policies/rules.py; this module says what is wrong with them in
one configuration: a mistake and a case that fails are errors; a name that does not exist, a rule that can never matter, and an administrator who
would come in with a password alone are warnings.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from connectors.settings import Settings
from idp.config.findings import Finding
from policies.assurance import PHISHING_RESISTANT, SECOND_FACTOR, TOLERANT, Method
from policies.decision import Verdict
from policies.rule_shadows import shadows
from policies.rules import Case, RuleError, RuleSet, SignInFacts, parse_cases, parse_rules, run_cases
from policies.zone import INSIDE_KINDS, OUTSIDE

RULES, TESTS = "policy.rules", "policy.tests"
# Of these, others than those in the file may have been added by command.
ADDED_BY_COMMAND = ("client", "establishment", "zone")
AN_ORDINARY_MORNING = datetime(2026, 1, 7, 10, tzinfo=UTC)


class PolicySettings(Settings):
    """Who gets in with which proofs (docs/network-trust-and-second-factors.md)."""

    rules: tuple[Any, ...] | None = None
    """The rules. null: the default ones (`vestibule policy show`): a second factor outside every trusted zone, and always for administrators."""
    tests: tuple[Any, ...] = ()
    """Cases with the verdict they must have, run by check-config and before each start."""

    @cached_property
    def rule_set(self) -> RuleSet:
        """The rules made ready; raises RuleError when they are wrong, which `load` has ruled out."""
        return parse_rules(self.rules, path=RULES)

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The test cases; raises RuleError when they are wrong, which `load` has ruled out."""
        return parse_cases(self.tests, path=TESTS)


def check_policy(policy: PolicySettings, known: Mapping[str, Collection[str]]) -> Iterable[Finding]:
    """Everything that is wrong with the rules and their cases. `known` names what the file holds, by criterion; of others any word is taken."""
    wrong = mistakes(policy)
    yield from wrong
    if wrong:
        return
    yield from _check_names(policy, known)
    for shadow in shadows(policy.rule_set.rules):
        yield Finding("warning", f"{RULES}[{shadow.index}]", f"{shadow.rule} {shadow.text}")
    yield from _check_administrators(policy.rule_set, known)
    places = {case.name: f"{TESTS}[{index}]" for index, case in enumerate(policy.cases)}
    yield from (Finding("error", places[failure.name], failure.text) for failure in run_cases(policy.rule_set, policy.cases).failures)


def mistakes(policy: PolicySettings) -> tuple[Finding, ...]:
    """What cannot be read, of the rules and of the cases: every mistake at once."""
    found: list[Finding] = []
    for read in (lambda: policy.rule_set, lambda: policy.cases):
        try:
            read()
        except RuleError as error:
            found += [Finding("error", mistake.path, mistake.text) for mistake in error.mistakes]
    return tuple(found)


def _check_administrators(rules: RuleSet, known: Mapping[str, Collection[str]]) -> Iterable[Finding]:
    """Whether some application lets an administrator in with a password alone, the rest of the sign-in being as ordinary as can be."""
    clients = sorted(known.get("client", ())) or ["any"]
    where = []
    for kind in (*sorted(inside.value for inside in INSIDE_KINDS), OUTSIDE):
        spared = [client for client in clients if _is_spared(rules, kind, client)]
        if spared:
            where.append(kind if spared == clients else f"{kind} ({', '.join(spared)})")
    if where:
        text = f"an administrator comes in with a password alone where zone_kind is {', '.join(where)}"
        yield Finding("warning", RULES, f"{text}; the default rules have second-factor-for-administrators (vestibule policy show)")


def _is_spared(rules: RuleSet, zone_kind: str, client: str) -> bool:
    """Nothing is left unknown: a rule that requires when in doubt would hide that nobody is asked once it is known."""
    ruling = rules.decide(
        SignInFacts(
            zone=OUTSIDE if zone_kind == OUTSIDE else "any/any",
            zone_kind=zone_kind,
            client=client,
            profiles=frozenset(),
            establishment="any",
            level=TOLERANT,
            local_time=AN_ORDINARY_MORNING,
            connector="local",
            methods=frozenset({Method.PASSWORD.value}),
            factors=frozenset(),
            device_known=False,
            workstation=False,
            requested_acr=frozenset(),
            administrator=True,
            break_glass=False,
            degraded=False,
        )
    )
    is_asked = {SECOND_FACTOR, PHISHING_RESISTANT} & ruling.decision.requirements
    return ruling.decision.verdict is not Verdict.DENY and not is_asked


def _check_names(policy: PolicySettings, known: Mapping[str, Collection[str]]) -> Iterable[Finding]:
    try:
        parse_rules(policy.rules, path=RULES, known=known)
    except RuleError as error:
        for mistake in error.mistakes:
            may_be_added = any(f".{name}[" in mistake.path for name in ADDED_BY_COMMAND)
            yield Finding(
                "warning", mistake.path, mistake.text + (" (not in this file: right only if added by command)" if may_be_added else "")
            )
