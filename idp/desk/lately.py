"""What a person was refused lately, and what of it their network explains: read from the audit trail, since their last sign-in that succeeded.

Owns the reading and one question to the rules: would the same sign-in have been let in on the establishment's network? Changes nothing.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from idp.audit import EventType, Reason
from idp.clock import Clock
from idp.desk.finding import Finding, Obstacle
from idp.desk.search import is_near, slugs_of
from idp.signin.decided import decided
from idp.store.database import Transaction
from idp.store.events import EventFilter
from policies.acts import Act
from policies.rules import RuleSet
from policies.zones import ZoneKind

LOOKED_BACK = timedelta(hours=24)
MOST_LINES, MOST_SHOWN = 200, 5
REFUSALS = frozenset(
    {
        EventType.SIGNIN_REFUSED,
        EventType.AUTHORIZATION_REFUSED,
        EventType.UPSTREAM_REFUSED,
        EventType.FACTOR_REFUSED,
        EventType.ENROLMENT_REFUSED,
        EventType.CODE_REFUSED,
        EventType.PASSWORD_CHANGE_REFUSED,
    }
)
BY_RULES = frozenset({Reason.DENIED_BY_RULE, Reason.NOTHING_SAID})
# What an establishment's network would have spared them, whatever the rules say.
OF_THE_NETWORK = frozenset({Reason.ENROLMENT_NEEDS_TRUSTED_ZONE})
HELPS: Mapping[Reason, Act] = {
    Reason.WRONG_PASSWORD: Act.RESET_PASSWORD,
    Reason.NO_PASSWORD: Act.RESET_PASSWORD,
    Reason.THROTTLED: Act.UNLOCK,
    Reason.DIRECTORY_LOCKED: Act.UNLOCK,
    Reason.FACTOR_BLOCKED: Act.UNLOCK,
    Reason.WRONG_CODE: Act.RESET_FACTOR,
    Reason.NO_FACTOR_ENROLLED: Act.ISSUE_PASS,
    Reason.ENROLMENT_NEEDS_PASS: Act.ISSUE_PASS,
    Reason.ENROLMENT_NEEDS_TRUSTED_ZONE: Act.ISSUE_PASS,
    Reason.NO_ATTACHMENT: Act.ATTACH,
    Reason.ATTACHMENT_NOT_STARTED: Act.ATTACH,
    Reason.ATTACHMENT_ENDED: Act.ATTACH,
}


class Lately:
    """Safe between threads."""

    def __init__(self, clock: Clock, rules: RuleSet) -> None:
        self._clock = clock
        self._rules = rules

    def of(self, tx: Transaction, account_id: str, *, places: Collection[str] | None) -> Iterator[Finding]:
        """One finding for each reason, of its last time, the newest first; none from before the last sign-in that succeeded, nor of another day.

        `places`: the establishments that whoever reads it sees, None for all; of what happened at another they read neither where nor its code.
        """
        wanted = EventFilter(account_id=account_id, since=self._clock.now() - LOOKED_BACK)
        seen: set[Reason] = set()
        slugs = slugs_of(tx, places)
        for line in reversed(tx.events.last(wanted, MOST_LINES)):
            if line["type"] == EventType.SIGNIN_SUCCEEDED or len(seen) == MOST_SHOWN:
                return
            reason = Reason(line["reason"]) if line["type"] in REFUSALS and line["reason"] else None
            if reason is None or reason in seen:
                continue
            seen.add(reason)
            is_told = places is None or is_near(line, places, slugs)
            is_of_network = reason in OF_THE_NETWORK or self._is_let_in_nearer(line)
            yield Finding(
                obstacle=Obstacle.WRONG_NETWORK if is_of_network else Obstacle.REFUSED_LATELY,
                act=HELPS.get(reason),
                is_blocking=False,
                since=datetime.fromisoformat(line["at"]),
                reason=reason,
                support_code=line["request_id"] if is_told else "",
                zone=line["zone"] if is_told else "",
                address=line["address"] if is_told else "",
            )

    def _is_let_in_nearer(self, line: Mapping[str, Any]) -> bool:
        """Whether the rules that denied it would not have, had it come from a trusted zone."""
        if line["reason"] not in BY_RULES or not line["decision"]:
            return False
        try:
            facts = decided(line["decision"]).facts
        except (KeyError, TypeError, ValueError):
            return False  # written by another release: the reason is shown all the same
        if facts.zone_kind == ZoneKind.TRUSTED:
            return False
        return not self._rules.decide(replace(facts, zone_kind=ZoneKind.TRUSTED.value)).decision.is_denied
