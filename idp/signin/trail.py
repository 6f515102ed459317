"""The Events of a sign-in that ends otherwise than in a Session: refused, cancelled, begun again.

Owns that each is written once, however often its page is loaded again. What proves who somebody is writes its own Events. Called by the web layer.
"""

from collections.abc import Mapping
from datetime import timedelta

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import digest
from idp.signin.interaction import Interaction
from idp.signin.links import record
from idp.signin.step import Step, StepKind
from idp.signin.whereabouts import told
from idp.store.base import Ephemeral
from idp.store.database import Database


class SignInTrail:
    """Writes them. Safe between threads. `interaction_life` is how long a page can be loaded again. Raises StoreUnavailable."""

    def __init__(self, database: Database, ephemeral: Ephemeral, clock: Clock, *, interaction_life: timedelta) -> None:
        self._database = database
        self._ephemeral = ephemeral
        self._clock = clock
        self._interaction_life = interaction_life

    def record_denial(self, interaction: Interaction, step: Step, origin: Origin) -> None:
        """The Event of a DENY page, once however often the page is loaded again."""
        if self._ephemeral.add("denied", digest(interaction.id), b"1", self._interaction_life):
            self.record(EventType.SIGNIN_REFUSED, step.reason, interaction=interaction, origin=origin, step=step)

    def record_link_refusal(self, interaction: Interaction, step: Step, origin: Origin) -> None:
        """The Event of a LINK page that says that nothing may be linked from here, once however often it is loaded again."""
        pending = interaction.pending_link
        if pending is None or step.account is None:
            return
        if self._ephemeral.add("link_denied", digest(f"{interaction.id} {step.account.id}"), b"1", self._interaction_life):
            author = Author(f"account:{step.account.id}", told(origin, step.whereabouts) if step.whereabouts else origin)
            kind = EventType.ACCOUNT_LINK_REFUSED
            with self._database.write() as tx:
                record(tx, kind, step.account.id, author, connector=pending.connector, clock=self._clock, reason=step.reason)

    def record_cancel(self, interaction: Interaction, step: Step, origin: Origin) -> None:
        """The Event of a person who gave up, or declined to share."""
        kind = EventType.CONSENT_REFUSED if step.kind is StepKind.CONSENT else EventType.SIGNIN_CANCELLED
        self.record(kind, Reason.CANCELLED_BY_PERSON, interaction=interaction, origin=origin, step=step)

    def record(
        self,
        kind: EventType,
        reason: Reason | None,
        *,
        origin: Origin,
        interaction: Interaction | None = None,
        step: Step | None = None,
        details: Mapping[str, str | int | bool | None] | None = None,
    ) -> None:
        """One Event, in a transaction of its own."""
        account = step.account if step else None
        proof = interaction.proof if interaction else None
        event = Event(
            type=kind,
            at=self._clock.now(),
            actor=f"account:{account.id}" if account else "anonymous",
            origin=told(origin, step.whereabouts) if step and step.whereabouts else origin,
            reason=reason,
            account_id=account.id if account else None,
            client_id=interaction.request.client_id if interaction and interaction.request else None,
            establishment_id=step.establishment.id if step and step.establishment else None,
            connector=proof.connector if proof else None,
            amr=proof.amr if proof else (),
            acr=proof.acr if proof else None,
            decision=step.decision if step else None,
            details=details or ({"step": str(step.kind)} if step else {}),
        )
        with self._database.write() as tx:
            tx.events.append(event)
