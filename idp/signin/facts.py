"""Gathers what the dispatcher decides on, in the caller's transaction, with as few statements as the question needs.

A silent authorization costs the account, its attachments, one statement for each establishment among them, and the ground under it (ground.py): it is
the hot path. Reads the store only; all that it concludes is which establishment is meant, since the ground is asked for one.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from idp.signin.ground import Ground, Survey
from idp.signin.interaction import Interaction
from idp.store.base import Account, Attachment, Client, Establishment, Session
from idp.store.database import Transaction
from policies.access import AccessFacts, AttachmentFacts, choose, usable_attachments
from policies.assurance import Method
from policies.rules import RuleSet
from policies.sessions import SessionFacts, SessionLimits, Standing, standing

LoadClient = Callable[[Transaction, str], Client | None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of judging: the rules, the kinds of factors that may be added, how long one that was proven speaks for another."""

    rules: RuleSet
    offered: frozenset[str] = frozenset({"totp", "passkey", "sms"})
    recent: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a Step is decided on, at one instant.

    `session` is live and this browser's. `account` is the proof's, else the Session's. `establishments` are those of the account's attachments, by
    id. `other_sessions` are the account's live ones elsewhere, oldest first, gathered only when a new one would be opened. `word_at` is when the
    account's directories last spoke of it, None when it is in none; after `longest_silence` nothing is given on their word any more. `ground` is None
    until the establishment is settled.
    """

    now: datetime
    interaction: Interaction
    session: Session | None
    client: Client | None
    account: Account | None
    access: AccessFacts
    establishments: dict[str, Establishment]
    other_sessions: tuple[Session, ...]
    consented_scope: frozenset[str]
    limits: SessionLimits
    terms: Terms
    word_at: datetime | None
    longest_silence: timedelta
    staleness_bound: timedelta = timedelta.max
    ground: Ground | None = None

    @property
    def is_degraded(self) -> bool:
        """Whether the person's directory could not be asked, and its last word is used for a while."""
        return self.word_at is not None and self.now - self.word_at > self.staleness_bound


def gather(
    tx: Transaction,
    interaction: Interaction,
    session: Session | None,
    *,
    now: datetime,
    limits: SessionLimits,
    terms: Terms,
    load_client: LoadClient,
    survey: Survey | None = None,
    longest_silence: timedelta = timedelta.max,
    staleness_bound: timedelta = timedelta.max,
) -> Facts:
    """The Facts at `now`. `session` is this browser's live Session; `load_client` answers None for a client that has ended.

    Without a `survey` there is no ground to judge on.
    """
    request = interaction.request
    client = load_client(tx, request.client_id) if request else None
    account_id = interaction.proof.account_id if interaction.proof else session.account_id if session else None
    heard = tx.people.heard(account_id) if account_id else None
    account, word_at = heard or (None, None)
    attachments = tx.people.attachments(account.id) if account else ()
    places = _places(tx, attachments)
    asks_consent = client is not None and client.settings.require_consent
    facts = Facts(
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
        terms=terms,
        word_at=word_at,
        longest_silence=longest_silence,
        staleness_bound=staleness_bound,
    )
    place = places.get(active_establishment(facts)[0] or "")
    if survey is None or place is None or account is None:
        return facts
    was_spared = session is not None and any(proof.method == Method.REMEMBERED_DEVICE for proof in session.proofs)
    asks_device = interaction.proof is not None or bool(interaction.factors) or was_spared or "device_known" in terms.rules.looks_at
    return replace(facts, ground=survey(tx, account, place, asks_device=asks_device, now=now))


def active_establishment(facts: Facts) -> tuple[str | None, bool, str | None]:
    """The establishment's id, else whether to ask, and which to suggest.

    The first hint that opens this client wins: the request's, then what the person chose on the page, then the Session's.
    """
    last = facts.account.last_establishment_id if facts.account else None
    interaction, session = facts.interaction, facts.session
    hinted = interaction.request.establishment_hint if interaction.request else None
    of_hint = next((key for key, place in facts.establishments.items() if hinted is not None and place.slug == hinted), None)
    is_same_person = session is not None and facts.account is not None and session.account_id == facts.account.id
    of_session = session.establishment_id if session is not None and is_same_person else None
    choice = choose(facts.access, None, last)
    for wanted in (of_hint, interaction.establishment_id, of_session):
        if wanted is not None and (found := choose(facts.access, wanted, last)).establishment_id == wanted:
            choice = found
            break
    return choice.establishment_id, choice.must_ask, choice.suggested


def profiles_at(facts: Facts, establishment_id: str) -> frozenset[str]:
    """The person's profiles at an establishment, of the attachments that open the client now."""
    return frozenset(one.profile for one in usable_attachments(facts.access) if one.establishment_id == establishment_id)


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
    """The four instants that the policy looks at, and where the Session is."""
    return SessionFacts(session.created_at, session.last_active_at, session.expires_at, session.ended_at, is_shared=session.is_shared)


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
