"""What a draft of the rules changes for one sign-in of the past, and never asked twice about what the draft cannot tell apart.

Owns the comparison of then and now, and what is kept of it. What is compared is the rules' verdict: proofs that were there already are not counted
in. Called by replay.py, line by line; calls policies.rules.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, NamedTuple

from idp.signin.decided import requirements_of
from policies.criteria import CRITERIA, TIME_CRITERIA, WEEKDAYS
from policies.decision import Verdict
from policies.rule_text import criteria_of
from policies.rules import PHISHING_RESISTANT, SECOND_FACTOR, RuleSet, Ruling, SignInFacts

ASKED, REFUSED, LET_IN, SPARED = "asked", "refused", "let_in", "spared"
CHANGES = (ASKED, REFUSED, LET_IN, SPARED)

# What is kept at most; past this all is forgotten and it begins again.
KEPT_TEXTS = 30_000
KEPT_RULINGS = 50_000
OTHER = "(other)"  # a word that no rule names
# As json.dumps writes it. Inside a text the quotes would be escaped, so that nobody's name can look like it.
MOMENT = '"local_time": "'


class Outcome(NamedTuple):
    """What changes (one of CHANGES, None: nothing), by which rules of the draft, the observed ones that spoke, and the profiles of the person."""

    what: str | None
    rules: tuple[str, ...]
    observed: tuple[str, ...]
    profiles: tuple[str, ...]


class Judge:
    """Judges by one draft. `count` is how many rulings it really asked for.

    Words that no rule names are all one, and of a moment counts what the rules see of it: a day of the week, a stretch of the day.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.count = 0
        self._rules = rules
        self._outcomes: dict[tuple[Any, ...], Outcome | None] = {}
        self._rulings: dict[tuple[Any, ...], Ruling] = {}
        named: dict[str, set[Any]] = {}
        for criterion in (criterion for rule in rules.rules for criterion in criteria_of(rule.when)):
            named.setdefault(criterion.name, set()).update(criterion.wanted)
        self._days = frozenset(WEEKDAYS.index(day) for day in named.get("weekdays", ()))
        self._ends = sorted(f"{end:%H:%M}" for end in named.get("time", ()))
        self._words = [(CRITERIA[name], frozenset(words)) for name, words in named.items() if name not in TIME_CRITERIA]
        self._looked_at = {CRITERIA[name] for name in named}

    def outcome(self, decision: str) -> Outcome | None:
        """What changes for the sign-in with this decision, as the trail keeps it; None when it cannot be read."""
        # Most people come again and again from the same place: then only the moment differs, and the text need not even be parsed.
        before, found, rest = decision.partition(MOMENT)
        at, _, after = rest.partition('"')
        try:
            key = (before, after, *(self._moment(at) if found else ()))
        except ValueError:
            return None
        if key not in self._outcomes:
            if len(self._outcomes) >= KEPT_TEXTS:
                self._outcomes.clear()
            self._outcomes[key] = self._read(decision)
        return self._outcomes[key]

    def _read(self, decision: str) -> Outcome | None:
        try:
            stored = json.loads(decision)
            facts = stored["facts"]
            ruling = self._judge(facts)
            what = _compare(Verdict(stored["verdict"]), requirements_of(stored), ruling)
            profiles = tuple(facts.get("profiles", ()))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        return Outcome(what, ruling.decision.reasons, tuple(line.reason for line in ruling.observed), profiles)

    def _judge(self, facts: Mapping[str, Any]) -> Ruling:
        values: list[Any] = []
        for name, words in self._words:
            value = facts.get(name)
            if isinstance(value, list):
                values.append(tuple(one for one in value if one in words))
            else:
                values.append(value if value is None or value in words else OTHER)
        key = (*values, *(self._moment(facts["local_time"]) if "local_time" in facts else ()))
        if key not in self._rulings:
            if len(self._rulings) >= KEPT_RULINGS:
                self._rulings.clear()
            self.count += 1
            self._rulings[key] = self._rules.decide(SignInFacts.from_json({name: facts[name] for name in self._looked_at if name in facts}))
        return self._rulings[key]

    def _moment(self, at: str) -> tuple[Any, ...]:
        """What the rules see of a moment. ISO 8601 has the wall clock at a fixed place, and a whole datetime would cost more than all the rest."""
        day = date.fromisoformat(at[:10]).weekday() if self._days else None
        return bisect_right(self._ends, at[11:16]), day if day in self._days else None


def _compare(then: Verdict, asked: Mapping[str, timedelta | None], now: Ruling) -> str | None:
    """What changes for the person, None when nothing does."""
    if now.decision.is_denied:
        return None if then is Verdict.DENY else REFUSED
    if then is Verdict.DENY:
        return LET_IN
    if any(_is_more(one.proof, one.within, asked) for one in now.requirements):
        return ASKED
    return SPARED if asked and not now.requirements else None


def _is_more(proof: str, within: timedelta | None, asked: Mapping[str, timedelta | None]) -> bool:
    if proof not in asked:
        return proof != SECOND_FACTOR or PHISHING_RESISTANT not in asked
    before = asked[proof]
    return within is not None and (before is None or within < before)
