"""What has ended for long enough is deleted here, in small transactions that do not hold up a sign-in; audit lines never are.

A used code or refresh token is kept as long as its Grant, so that a second use is still recognised. Children go before parents. Called by
`vestibule work` only; calls nothing.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Delete, Select, delete, exists, or_, select, update

from idp.store.canary import OF_RUN
from idp.store.tables import (
    canary_runs,
    codes,
    cuts,
    devices,
    grants,
    messages,
    outbox,
    passes,
    recovery_codes,
    refresh_tokens,
    reset_moves,
    resets,
    sessions,
    spent_identifiers,
)


class Sweep:
    """Deletes by batches of at most `batch` rows; each method returns how many rows it touched, 0 when there is nothing left to do."""

    def __init__(self, connection: Connection, *, batch: int = 500) -> None:
        self._connection = connection
        self._batch = batch

    def clear_sealed_answers(self, used_before: datetime) -> int:
        """Forget the refresh answers kept for a retry whose window has passed: sealed tokens are not kept for nothing."""
        old = select(refresh_tokens.c.digest).where(refresh_tokens.c.sealed_answer.is_not(None), refresh_tokens.c.used_at < used_before)
        query = update(refresh_tokens).where(refresh_tokens.c.digest.in_(old.limit(self._batch))).values(sealed_answer=None)
        return self._connection.execute(query).rowcount

    def delete_spent_identifiers(self, now: datetime) -> int:
        """Revoked tokens and client assertions that would be refused by their own age."""
        old = spent_identifiers.c.expires_at <= now
        picked = select(spent_identifiers.c.value).where(old).limit(self._batch)
        return self._delete(delete(spent_identifiers).where(old, spent_identifiers.c.value.in_(picked)))

    def delete_grants(self, before: datetime) -> int:
        """Grants that ended or expired before an instant, with their codes and refresh tokens; how many Grants."""
        over = or_(grants.c.ended_at < before, grants.c.expires_at < before)
        picked = [row.id for row in self._connection.execute(select(grants.c.id).where(over).limit(self._batch))]
        if not picked:
            return 0
        self._delete(delete(codes).where(codes.c.grant_id.in_(picked)))
        self._delete(delete(refresh_tokens).where(refresh_tokens.c.grant_id.in_(picked)))
        return self._delete(delete(grants).where(grants.c.id.in_(picked)))

    def delete_sessions(self, before: datetime) -> int:
        """Sessions that ended before an instant and have no Grant left."""
        is_used = exists().where(grants.c.session_id == sessions.c.id)
        picked = select(sessions.c.id).where(sessions.c.ended_at < before, ~is_used).limit(self._batch)
        return self._delete(delete(sessions).where(sessions.c.id.in_(picked)))

    def delete_notices(self, before: datetime) -> int:
        """Notices delivered or abandoned before an instant; what a cut made due is kept as long as its certificate (delete_cuts)."""
        over = or_(outbox.c.delivered_at < before, outbox.c.abandoned_at < before)
        is_of_cut = exists().where(cuts.c.id == outbox.c.cut_id)
        return self._delete(delete(outbox).where(outbox.c.id.in_(select(outbox.c.id).where(over, ~is_of_cut).limit(self._batch))))

    def delete_cuts(self, before: datetime) -> int:
        """Cuts decided before an instant, with what applications answered; one that still waits is kept. How many cuts."""
        return self._delete_cuts(select(cuts.c.id).where(cuts.c.decided_at < before))

    def delete_canary_runs(self, before: datetime) -> int:
        """The canary's runs that began before an instant, with their cuts: they are nobody's, and evidence of nothing. How many runs."""
        old = select(canary_runs.c.id).where(canary_runs.c.began_at < before, canary_runs.c.restored_at.is_not(None))
        picked = [row.id for row in self._connection.execute(old.limit(self._batch))]
        if not picked:
            return 0
        self._delete_cuts(select(cuts.c.id).where(exists().where(canary_runs.c.id.in_(picked), OF_RUN)))
        return self._delete(delete(canary_runs).where(canary_runs.c.id.in_(picked)))

    def delete_messages(self, before: datetime) -> int:
        """Messages that were sent or abandoned, written before an instant: those of this month say what it has cost."""
        over = or_(messages.c.sent_at.is_not(None), messages.c.abandoned_at.is_not(None))
        picked = select(messages.c.id).where(over, messages.c.created_at < before).limit(self._batch)
        return self._delete(delete(messages).where(messages.c.id.in_(picked)))

    def delete_passes(self, before: datetime) -> int:
        """One-time passes and recovery codes that were used, ended or past their end before an instant."""
        over = or_(passes.c.used_at < before, passes.c.ended_at < before, passes.c.expires_at < before)
        deleted = self._delete(delete(passes).where(passes.c.digest.in_(select(passes.c.digest).where(over).limit(self._batch))))
        burned = or_(recovery_codes.c.used_at < before, recovery_codes.c.ended_at < before)
        picked = select(recovery_codes.c.digest).where(burned).limit(self._batch)
        return deleted + self._delete(delete(recovery_codes).where(recovery_codes.c.digest.in_(picked)))

    def delete_devices(self, before: datetime) -> int:
        """Devices that ended before an instant: none is looked up by its secret any more, and the Events name it by its id."""
        picked = select(devices.c.id).where(devices.c.ended_at < before).limit(self._batch)
        return self._delete(delete(devices).where(devices.c.id.in_(picked)))

    def delete_resets(self, before: datetime) -> int:
        """Resets that ended before an instant, with their moves; the audit trail has both. How many Resets."""
        picked = [row.id for row in self._connection.execute(select(resets.c.id).where(resets.c.closed_at < before).limit(self._batch))]
        if not picked:
            return 0
        self._delete(delete(reset_moves).where(reset_moves.c.reset_id.in_(picked)))
        return self._delete(delete(resets).where(resets.c.id.in_(picked)))

    def _delete_cuts(self, wanted: Select[Any]) -> int:
        waits = exists().where(outbox.c.cut_id == cuts.c.id, outbox.c.next_attempt_at.is_not(None))
        picked = [row.id for row in self._connection.execute(wanted.where(~waits).limit(self._batch))]
        if not picked:
            return 0
        self._delete(delete(outbox).where(outbox.c.cut_id.in_(picked)))
        return self._delete(delete(cuts).where(cuts.c.id.in_(picked)))

    def _delete(self, query: Delete) -> int:
        return self._connection.execute(query).rowcount
