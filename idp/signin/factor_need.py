"""Whether a second factor will be asked of a person somewhere: what keeps the last one from being removed, and who is on the list of those without.

Asks the rules about sign-ins that have not taken place, of which only the person is known: what is not known may require (policies/rules.py), so the
answer errs towards yes.
"""

from dataclasses import replace

from idp.clock import Clock
from idp.store.base import Account
from idp.store.database import Transaction
from policies.assurance import PHISHING_RESISTANT, SECOND_FACTOR, TOLERANT
from policies.rules import RuleSet, SignInFacts
from policies.zones import OUTSIDE, ZoneKind

ZONE_KINDS = (OUTSIDE, ZoneKind.VPN.value, ZoneKind.TRUSTED.value)
WANTED = frozenset({SECOND_FACTOR, PHISHING_RESISTANT})


class FactorNeed:
    """Answers for one set of rules; a callable as idp.signin.enrolment wants it."""

    def __init__(self, rules: RuleSet, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock

    def __call__(self, tx: Transaction, account: Account) -> bool:
        """Whether a rule, or the level of an establishment where the person may work now, would want a second factor of them."""
        is_administrator = bool(tx.roles.open_of(account.id))
        now = self._clock.now()
        profiles: dict[str, set[str]] = {}
        for attachment in tx.people.attachments(account.id):
            if attachment.is_valid(now):
                profiles.setdefault(attachment.establishment_id, set()).add(attachment.profile)
        for establishment_id, found in profiles.items():
            place = tx.establishments.get(establishment_id)
            if place is None or place.ended_at is not None:
                continue
            known = SignInFacts(
                profiles=frozenset(found),
                establishment=place.slug,
                level=place.regulatory_level,
                administrator=is_administrator,
                break_glass=account.is_break_glass,
            )
            rulings = (self._rules.decide(replace(known, zone_kind=kind)) for kind in ZONE_KINDS)
            if place.regulatory_level != TOLERANT or any(one.proof in WANTED for ruling in rulings for one in ruling.requirements):
                return True
        return False
