"""Endings: end a Session, a Grant, an Attachment or an Account, for a cause, in the caller's SQL transaction.

One call ends the rows below, writes the outbox notices that applications are owed and the Events; nothing is sent here (idp/oauth/logout.py
sends after the commit). Doing it twice changes nothing. Everyone above the store may call it; nobody else ends anything.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from idp.audit import Author, Event, EventType, Origin, Reason, Word
from idp.clock import Clock
from idp.signals import Occasion, account_changed, session_revoked
from idp.store.base import Attachment, Cut, Grant, Notice, ResetMove, Session
from idp.store.database import Transaction

# A Session closed from elsewhere is most often on a device that was lost: what it left behind must not go on for weeks.
AFTER_SIGN_OUT = frozenset(
    {
        Reason.ACCOUNT_CUT,
        Reason.CLIENT_WITHDRAWN,
        Reason.ATTACHMENT_ENDED,
        Reason.ATTACHMENT_LOST,
        Reason.DIRECTORY_DISABLED,
        Reason.DIRECTORY_EXPIRED,
        Reason.DIRECTORY_GONE,
        Reason.DIRECTORY_OUT_OF_SCOPE,
        Reason.CREDENTIAL_CHANGED,
        Reason.DIRECTORY_PASSWORD_SET,
        Reason.ENDED_BY_PERSON,
        Reason.ENDED_BY_OPERATOR,
        Reason.SECRET_COPIED,
        Reason.PERSON_CHANGED,
        Reason.UPSTREAM_LAPSED,
        Reason.UNLINKED,
        Reason.MERGED,
    }
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How much ended."""

    sessions: int = 0
    grants: int = 0
    notices: int = 0

    def __add__(self, other: "Ended") -> "Ended":
        return Ended(self.sessions + other.sessions, self.grants + other.grants, self.notices + other.notices)

    @property
    def counts(self) -> dict[str, int]:
        """As the details of an Event say it."""
        return {"sessions": self.sessions, "grants": self.grants, "notices": self.notices}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something ends, who made it end and from where. `word`: of the directory that made it end; `cut_id`: of the departure that it is part of,
    by which what applications are told is found again."""

    reason: Reason
    actor: str
    origin: Origin
    word: Word | None = None
    cut_id: str | None = None

    @classmethod
    def by(cls, author: Author, reason: Reason) -> "Cause":
        """Of an Author."""
        return cls(reason, author.actor, author.origin, author.word)


def end_session(tx: Transaction, session: Session, cause: Cause, *, clock: Clock) -> Ended:
    """End a Session and its Grants; offline Grants live on unless the cause is a cut, somebody closed it from elsewhere, or the machine is shared.

    Every client that was given tokens under the Session is owed one logout notice (Back-Channel Logout 1.0 section 2.3).
    """
    tx.people.hold(session.account_id)
    now = clock.now()
    if not tx.sessions.end(session.id, now, cause=str(cause.reason)):
        return Ended()
    ended = Ended(sessions=1)
    told: set[str] = set()
    for grant in tx.grants.of_session(session.id):
        if not grant.is_offline or session.is_shared or cause.reason in AFTER_SIGN_OUT:
            ended += _end_row(tx, grant, cause, now=now)
        if grant.has_tokens and grant.client_id not in told:
            told.add(grant.client_id)
            ended += _notify(tx, grant.client_id, session.account_id, session_id=session.id, cause=cause, clock=clock)
    details = {"grants": ended.grants, "notices": ended.notices}
    tx.events.append(
        Event(
            type=EventType.SESSION_ENDED,
            at=now,
            actor=cause.actor,
            origin=cause.origin,
            reason=cause.reason,
            account_id=session.account_id,
            establishment_id=session.establishment_id,
            session_id=session.id,
            connector=session.connector,
            amr=session.amr,
            acr=session.acr,
            details=details,
        )
    )
    return ended


def end_grant(tx: Transaction, grant: Grant, cause: Cause, *, clock: Clock) -> Ended:
    """End one Grant and so every token under it; the application learns at its next refresh, introspection or userinfo call."""
    tx.people.hold(grant.account_id)
    return _end_row(tx, grant, cause, now=clock.now())


def end_account_access(tx: Transaction, account_id: str, cause: Cause, *, clock: Clock) -> Ended:
    """End every Session and Grant of an Account, offline ones too, and forget its browsers; the caller has set the account's status in the same
    transaction.
    """
    tx.people.hold(account_id)
    end_devices(tx, account_id, cause, clock=clock)
    ended = Ended()
    for session in tx.sessions.open_of(account_id):
        ended += end_session(tx, session, cause, clock=clock)
    for grant in tx.grants.open_of_account(account_id):
        ended += _end_row(tx, grant, cause, now=clock.now())
        if grant.has_tokens:
            ended += _notify(tx, grant.client_id, account_id, session_id=grant.session_id, cause=cause, clock=clock)
    return ended


def end_connector_access(tx: Transaction, account_id: str, connector: str, *, cause: Cause, clock: Clock) -> Ended:
    """End every Session that began with a provider's word, and its Grants, offline ones too: that word is worth nothing any more."""
    tx.people.hold(account_id)
    ended = Ended()
    for session in tx.sessions.open_of(account_id):
        if session.connector == connector:
            ended += end_session(tx, session, cause, clock=clock)
    for grant in tx.grants.open_of_account(account_id):
        session_of = tx.sessions.get(grant.session_id)
        if session_of is not None and session_of.connector == connector:
            ended += _end_row(tx, grant, cause, now=clock.now())
            if grant.has_tokens:
                ended += _notify(tx, grant.client_id, account_id, session_id=grant.session_id, cause=cause, clock=clock)
    return ended


def end_devices(tx: Transaction, account_id: str, cause: Cause, *, clock: Clock) -> int:
    """No browser is known or remembered as this person's any more: their password or their factors are other ones now. How many there were."""
    ended = tx.devices.end_of(account_id, clock.now())
    if ended:
        tx.events.append(
            Event(
                type=EventType.DEVICE_ENDED,
                at=clock.now(),
                actor=cause.actor,
                origin=cause.origin,
                reason=cause.reason,
                account_id=account_id,
                details={"devices": ended},
            )
        )
    return ended


def end_resets(tx: Transaction, account_id: str, cause: Cause, *, clock: Clock) -> int:
    """Cancel what is open at the reset desk for an Account: halves that are out must not outlive what they were given out for. How many."""
    tx.people.hold(account_id)
    now, closed = clock.now(), 0
    for reset in tx.resets.open_of(account_id):
        if not tx.resets.close(reset.id, "cancelled", now, cause.actor):
            continue
        closed += 1
        details = {"why": str(cause.reason), "was": reset.state}
        tx.resets.add_move(
            ResetMove(id=clock.new_id(), reset_id=reset.id, at=now, move="cancelled", actor=cause.actor[:140], details=details)
        )
        tx.events.append(
            Event(
                type=EventType.RESET_CANCELLED,
                at=now,
                actor=cause.actor,
                origin=cause.origin,
                reason=cause.reason,
                account_id=account_id,
                establishment_id=reset.establishment_id,
                connector=None if reset.source == "local" else reset.source,
                details={"reset": reset.id, "kind": reset.kind, **details},
            )
        )
    return closed


def cut_account(
    tx: Transaction, account_id: str, cause: Cause, *, status: Literal["suspended", "ended"], cut_by: str, clock: Clock
) -> Ended:
    """Suspend or end an Account and everything it holds. `cut_by` is "operator" or the directory that said so: only the same one takes it back."""
    now = clock.now()
    ended_at = {"ended_at": now} if status == "ended" else {}
    tx.people.change(account_id, now, status=status, cut_by=cut_by, **ended_at)
    cause = replace(cause, cut_id=clock.new_id())
    ended = end_account_access(tx, account_id, cause, clock=clock)
    event: Literal["purged", "disabled"] = "purged" if status == "ended" else "disabled"
    ended += Ended(notices=account_changed(tx, account_id, event, occasion=_occasion(cause), clock=clock))
    _certify(tx, account_id, cause, kind=status, ended=ended, clock=clock)
    end_resets(tx, account_id, cause, clock=clock)
    tx.events.append(
        Event(
            type=EventType.ACCOUNT_ENDED if status == "ended" else EventType.ACCOUNT_SUSPENDED,
            at=now,
            actor=cause.actor,
            origin=cause.origin,
            reason=cause.reason,
            account_id=account_id,
            connector=None if cut_by == "operator" else cut_by,
            details=ended.counts,
        )
    )
    return ended


def end_attachment(tx: Transaction, attachment: Attachment, cause: Cause, *, clock: Clock) -> Ended:
    """End an Attachment, and the Sessions and Grants that stood on its establishment unless another one there still carries them."""
    tx.people.hold(attachment.account_id)
    now = clock.now()
    if not tx.people.detach(attachment.id, now):
        return Ended()
    ended = _end_what_stood_on(tx, attachment, replace(cause, reason=Reason.ATTACHMENT_LOST), clock=clock)
    tx.events.append(
        Event(
            type=EventType.ATTACHMENT_ENDED,
            at=now,
            actor=cause.actor,
            origin=cause.origin,
            account_id=attachment.account_id,
            establishment_id=attachment.establishment_id,
            connector=None if attachment.source == "operator" else attachment.source,
            details={"attachment": attachment.id, **ended.counts},
        )
    )
    return ended


def end_past_attachment(tx: Transaction, attachment: Attachment, author: Author, *, clock: Clock) -> Ended:
    """End what stood on an Attachment whose last day is over, unless another one there carries it. The Attachment stays as it was written."""
    tx.people.hold(attachment.account_id)
    now = clock.now()
    if attachment.valid_until is None or attachment.valid_until > now:
        return Ended()
    return _end_what_stood_on(tx, attachment, Cause.by(author, Reason.ATTACHMENT_ENDED), clock=clock)


def _end_what_stood_on(tx: Transaction, attachment: Attachment, cause: Cause, *, clock: Clock) -> Ended:
    now = clock.now()
    cause = replace(cause, cut_id=clock.new_id())
    ended = Ended()
    if any(_carries(other, attachment, now) for other in tx.people.attachments(attachment.account_id)):
        return ended
    for session in tx.sessions.open_of(attachment.account_id):
        if session.establishment_id == attachment.establishment_id:
            ended += end_session(tx, session, cause, clock=clock)
    for grant in tx.grants.open_of_account(attachment.account_id):
        if grant.establishment_id == attachment.establishment_id:
            ended += _end_row(tx, grant, cause, now=now)
            if grant.has_tokens:
                ended += _notify(tx, grant.client_id, grant.account_id, session_id=grant.session_id, cause=cause, clock=clock)
    if ended != Ended():
        place = attachment.establishment_id
        _certify(tx, attachment.account_id, cause, kind="attachment", ended=ended, clock=clock, establishment_id=place)
    return ended


def _certify(
    tx: Transaction,
    account_id: str,
    cause: Cause,
    *,
    kind: Literal["suspended", "ended", "attachment"],
    ended: Ended,
    clock: Clock,
    establishment_id: str | None = None,
) -> None:
    """Write down what was taken, beside the endings themselves: what a certificate says is what was committed with them."""
    if cause.cut_id is None:
        raise ValueError("a departure has an id before anything ends")
    word = cause.word
    tx.cuts.add(
        Cut(
            id=cause.cut_id,
            account_id=account_id,
            kind=kind,
            establishment_id=establishment_id,
            cause=str(cause.reason),
            actor=cause.actor[:140],
            connector=word.connector if word else None,
            subject=word.subject if word else None,
            written_at=word.written_at if word else None,
            heard_at=word.heard_at if word else None,
            decided_at=clock.now(),
            sessions=ended.sessions,
            grants=ended.grants,
            notices=ended.notices,
            request_id=cause.origin.request_id,
        )
    )


def _carries(other: Attachment, lost: Attachment, now: datetime) -> bool:
    return other.id != lost.id and other.establishment_id == lost.establishment_id and other.is_valid(now)


def end_client_grants(tx: Transaction, client_id: str, cause: Cause, *, clock: Clock) -> Ended:
    """End every Grant of a withdrawn client; the caller is alone with the registry, so that none is added meanwhile."""
    ended = Ended()
    tx.people.hold(*{grant.account_id for grant in tx.grants.open_of_client(client_id)})
    for grant in tx.grants.open_of_client(client_id):
        ended += _end_row(tx, grant, cause, now=clock.now())
    return ended


def _end_row(tx: Transaction, grant: Grant, cause: Cause, *, now: datetime) -> Ended:
    if not tx.grants.end(grant.id, now, cause=str(cause.reason)):
        return Ended()
    tx.events.append(
        Event(
            type=EventType.GRANT_ENDED,
            at=now,
            actor=cause.actor,
            origin=cause.origin,
            reason=cause.reason,
            account_id=grant.account_id,
            client_id=grant.client_id,
            establishment_id=grant.establishment_id,
            session_id=grant.session_id,
            grant_id=grant.id,
            amr=grant.amr,
            acr=grant.acr,
        )
    )
    return Ended(grants=1)


def _occasion(cause: Cause) -> Occasion:
    return Occasion(cause.actor, str(cause.reason), cause.origin, cause.cut_id)


def _notify(tx: Transaction, client_id: str, account_id: str, *, session_id: str, cause: Cause, clock: Clock) -> Ended:
    """Owe an application the end of a Session: by a logout token where it wants one, by a Security Event Token on each of its streams."""
    owed = session_revoked(tx, client_id, account_id, session_id=session_id, occasion=_occasion(cause), clock=clock)
    client = tx.clients.get(client_id)
    if client is None or not client.settings.backchannel_logout_uri:
        return Ended(notices=owed)
    now = clock.now()
    tx.outbox.add(
        Notice(
            id=clock.new_id(),
            kind="backchannel_logout",
            client_id=client_id,
            account_id=account_id,
            session_id=session_id,
            cause=str(cause.reason),
            created_at=now,
            attempts=0,
            next_attempt_at=now,
            delivered_at=None,
            abandoned_at=None,
            receipt=None,
            cut_id=cause.cut_id,
        )
    )
    return Ended(notices=1 + owed)
