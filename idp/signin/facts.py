"""Gathers what the dispatcher decides on, in the caller's transaction, with as few statements as the question needs.

A silent authorization costs the account, its attachments and one statement for each establishment among them: it is the hot path. Reads the store
only; decides nothing.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from idp.signin.dispatch import Facts
from idp.signin.interaction import Interaction
from idp.store.base import Account, Attachment, Client, Establishment, Session
from idp.store.database import Transaction
from policies.access import AccessFacts, AttachmentFacts
from policies.sessions import SessionFacts, SessionLimits, Standing, standing

LoadClient = Callable[[Transaction, str], Client | None]


def gather(
    tx: Transaction,
    interaction: Interaction,
    session: Session | None,
    *,
    now: datetime,
    limits: SessionLimits,
    load_client: LoadClient,
    longest_silence: timedelta = timedelta.max,
) -> Facts:
    """The Facts at `now`. `session` is this browser's live Session; `load_client` answers None for a client that has ended."""
    request = interaction.request
    client = load_client(tx, request.client_id) if request else None
    account_id = interaction.proof.account_id if interaction.proof else session.account_id if session else None
    heard = tx.people.heard(account_id) if account_id else None
    account, word_at = heard or (None, None)
    attachments = tx.people.attachments(account.id) if account else ()
    places = _places(tx, attachments)
    asks_consent = client is not None and client.settings.require_consent
    return Facts(
        now=now,
        interaction=interaction,
        session=session,
        client=client,
        account=account,
        access=_access(account, attachments, places, client=client, now=now),
        establishments=places,
        other_sessions=live_sessions(tx, account.id, now=now, limits=limits, but=session) if account and interaction.proof else (),
        consented_scope=tx.clients.consented_scope(account.id, client.client_id) if account and client and asks_consent else frozenset(),
        limits=limits,
        word_at=word_at,
        longest_silence=longest_silence,
    )


def access_of(tx: Transaction, account: Account, client: Client, *, now: datetime) -> AccessFacts:
    """What policies.access decides on, for one person and one client."""
    attachments = tx.people.attachments(account.id)
    return _access(account, attachments, _places(tx, attachments), client=client, now=now)


def live_sessions(tx: Transaction, account_id: str, *, now: datetime, limits: SessionLimits, but: Session | None) -> tuple[Session, ...]:
    """The account's live Sessions without one, oldest first: those past a limit wait for the sweep and count for nothing."""
    return tuple(
        session
        for session in tx.sessions.open_of(account_id)
        if (but is None or session.id != but.id) and session_standing(session, limits, now) is Standing.LIVE
    )


def session_standing(session: Session, limits: SessionLimits, now: datetime) -> Standing:
    """What a stored Session is at `now`."""
    return standing(session_facts(session), limits, now)


def session_facts(session: Session) -> SessionFacts:
    """The four instants that the policy looks at."""
    return SessionFacts(session.created_at, session.last_active_at, session.expires_at, session.ended_at)


def _places(tx: Transaction, attachments: tuple[Attachment, ...]) -> dict[str, Establishment]:
    found: dict[str, Establishment] = {}
    for attachment in attachments:
        key = attachment.establishment_id
        if key not in found and attachment.ended_at is None and (place := tx.establishments.get(key)):
            found[key] = place
    return found


def _access(
    account: Account | None, attachments: tuple[Attachment, ...], places: dict[str, Establishment], *, client: Client | None, now: datetime
) -> AccessFacts:
    slugs = client.settings.establishments if client else ()
    served = frozenset(key for key, place in places.items() if place.slug in slugs)
    return AccessFacts(
        account_active=account is not None and account.is_active,
        attachments=tuple(_attachment(attachment, places) for attachment in attachments),
        # An empty set would mean "no restriction": a client whose establishments are none of this person's keeps one that nobody matches.
        client_establishments=(served or frozenset({""})) if slugs else frozenset(),
        client_profiles=frozenset(client.settings.profiles) if client else frozenset(),
        now=now,
    )


def _attachment(attachment: Attachment, places: dict[str, Establishment]) -> AttachmentFacts:
    place = places.get(attachment.establishment_id)
    return AttachmentFacts(
        id=attachment.id,
        establishment_id=attachment.establishment_id,
        profile=attachment.profile,
        valid_from=attachment.valid_from,
        valid_until=attachment.valid_until,
        ended=attachment.ended_at is not None or place is None or place.ended_at is not None,
    )
