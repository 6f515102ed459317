"""Sealed passes that are printed beforehand and kept at a site, each of which stands once, at night, for the approver of a Reset.

Owns their making and their use. When one is enough is policies/resets.py's; printing is the command's. A pass is one of an establishment and serves
there alone; it is a row of `passes`, known by a keyed hash.
"""

from datetime import timedelta

from idp.audit import Author, Event, EventType
from idp.clock import Clock
from idp.crypto import Keyring
from idp.signin.passes import GROUP_LENGTH, GROUPS, PURPOSE
from idp.signin.typed_code import make_code, read_code
from idp.store.base import Establishment, Pass
from idp.store.database import Transaction

APPROVE = "approve"
LONGEST_LIFE = timedelta(days=366)


class ApprovalPasses:
    """Safe between threads."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock

    def issue(self, tx: Transaction, place: Establishment, author: Author, *, label: str, life: timedelta) -> tuple[str, Pass]:
        """The code, to be printed once and sealed, and what is kept. Who may is the caller's. Event pass.issued."""
        now = self._clock.now()
        code = make_code(self._clock, groups=GROUPS, length=GROUP_LENGTH)
        kept = Pass(
            digest=self._digest(read_code(code)),
            purpose="approve",
            account_id=None,
            establishment_id=place.id,
            zone_id=None,
            is_shared=False,
            label=label[:80],
            issued_by=author.actor[:140],
            created_at=now,
            expires_at=now + min(life, LONGEST_LIFE),
            used_at=None,
            ended_at=None,
        )
        tx.passes.add(kept)
        self._keep(tx, EventType.PASS_ISSUED, kept, author)
        return code, kept

    def redeem(self, tx: Transaction, typed: str, establishment_id: str, author: Author) -> Pass | None:
        """Use one of this establishment; None when there is no such pass, or no longer. 75 random bits are not guessed over a network."""
        digest = self._digest(read_code(typed))
        given = tx.passes.get(digest)
        if given is None or given.establishment_id != establishment_id or not tx.passes.redeem(digest, APPROVE, self._clock.now()):
            return None
        self._keep(tx, EventType.PASS_USED, given, author)
        return given

    def _digest(self, code: str) -> str:
        return self._keyring.keyed_hash(PURPOSE, code)

    def _keep(self, tx: Transaction, kind: EventType, given: Pass, author: Author) -> None:
        tx.events.append(
            Event(
                type=kind,
                at=self._clock.now(),
                actor=author.actor,
                origin=author.origin,
                establishment_id=given.establishment_id,
                details={
                    "purpose": given.purpose,
                    "label": given.label,
                    "expires_at": given.expires_at.isoformat(),
                    "issued_by": given.issued_by,
                },
            )
        )
