"""Gathers what the dispatcher decides on, in the caller's transaction, with as few statements as the question needs.

A silent authorization costs the account, its attachments, one statement for the establishments among them, and the ground under it (ground.py): it is
the hot path. Reads the store only; all that it concludes is which establishment is meant, since the ground is asked for one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from idp.signin.ground import Ground, Survey
from idp.signin.interaction import Interaction
from idp.store.base import Account, Attachment, Client, Establishment, Session
from idp.store.database import Transaction
from idp.store.grants import SourceBounds
from policies.access import AccessFacts, AttachmentFacts, choose, usable_attachments
from policies.assurance import Method
from policies.lifecycle import OPERATOR
from policies.rules import RuleSet
from policies.sessions import SessionFacts, SessionLimits, Standing, standing

LoadClient = Callable[[Transaction, str], Client | None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of judging: the rules, the kinds of factors that may be added, how long one that was proven speaks for another,
    the labels of the upstream providers that can be asked for two factors, by name, all of them, all directories, and how long the word of a provider
    is believed."""

    rules: RuleSet
    offered: frozenset[str] = frozenset({"totp", "passkey", "sms"})
    recent: timedelta = timedelta(minutes=10)
    mfa_providers: Mapping[str, str] = field(default_factory=dict)
    providers: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()
    upstream_life: timedelta = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a Step is decided on, at one instant.

    `session` is live and this browser's. `account` is the proof's, else the Session's. `establishments` are those of the account's attachments, by
    id. `other_sessions` are the account's live ones elsewhere, oldest first, gathered only when a new one would be opened. `word_at` is when the
    sources that decide on it last spoke, None when none can be asked; after `longest_silence` nothing is given on their word any more. `oldest_at`:
    when the one that was silent longest did, of all that can be asked. `upstream_at` is when the provider that the proof or the Session came by last
    spoke, if that cannot be asked without the person. `ground` is None until the establishment is settled.
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
    oldest_at: datetime | None = None
    upstream_at: datetime | None = None
    ground: Ground | None = None

    @property
    def is_upstream_over(self) -> bool:
        """Whether the Session stands on the word of a provider that is too old, and that only the person can renew."""
        return self.upstream_at is not None and self.now - self.upstream_at > self.terms.upstream_life

    @property
    def is_degraded(self) -> bool:
        """Whether the person's directory could not be asked, and its last word is used for a while."""
        return self.word_at is not None and self.now - self.word_at > self.staleness_bound

    @property
    def is_stale(self) -> bool:
        """Whether a source of theirs that can be asked has been silent for longer than the bound, one that only gave attachments too."""
        return self.oldest_at is not None and self.now - self.oldest_at > self.staleness_bound


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
    came_by = interaction.proof.connector if interaction.proof else session.connector if session else None
    heard = tx.people.heard(account_id, came_by) if account_id else None
    account, word_at, oldest_at = heard or (None, None, None)
    bounds = SourceBounds(askable=longest_silence, seen=terms.upstream_life, directories=terms.directories)
    attachments = standing_attachments(tx, account.id, now=now, bounds=bounds) if account else ()
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
        oldest_at=oldest_at,
        longest_silence=longest_silence,
        staleness_bound=staleness_bound,
        upstream_at=_upstream_at(tx, account.id, came_by) if account and came_by in terms.providers else None,
    )
    place = places.get(active_establishment(facts)[0] or "")
    if survey is None or place is None or account is None:
        return facts
    was_spared = session is not None and any(proof.method == Method.REMEMBERED_DEVICE for proof in session.proofs)
    asks_device = interaction.proof is not None or bool(interaction.factors) or was_spared or "device_known" in terms.rules.looks_at
    return replace(facts, ground=survey(tx, account, place, asks_device=asks_device, now=now))


def _upstream_at(tx: Transaction, account_id: str, connector: str | None) -> datetime | None:
    own = [link for link in tx.links.of_account(account_id) if link.connector == connector and not link.is_askable]
    return max((link.word_at for link in own), default=None)


def active_establishment(facts: Facts) -> tuple[str | None, bool, str | None]:
    """The establishment's id, else whether to ask, and which to suggest.

    The first hint that opens this client wins: the request's, or the address by which they came to our own pages; then what the person chose on the
    page, then the Session's.
    """
    last = facts.account.last_establishment_id if facts.account else None
    interaction, session = facts.interaction, facts.session
    hinted = interaction.request.establishment_hint if interaction.request else interaction.came_to
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


def standing_attachments(tx: Transaction, account_id: str, *, now: datetime, bounds: SourceBounds) -> tuple[Attachment, ...]:
    """A person's attachments, past ones too; what a provider gave has ended here while its last word is too old, whatever they came by.

    An operator's and a directory's cost nothing more.
    """
    attachments = tx.people.attachments(account_id)
    sources = {one.source for one in attachments if one.ended_at is None} - {OPERATOR} - bounds.directories
    if not sources:
        return attachments
    silent = tx.people.silent_sources(account_id, askable_since=_before(now, bounds.askable), seen_since=_before(now, bounds.seen))
    return tuple(replace(one, ended_at=now) if one.ended_at is None and one.source in silent else one for one in attachments)


def _before(now: datetime, silence: timedelta) -> datetime:
    return now - silence if silence < timedelta(days=36_500) else datetime.min.replace(tzinfo=now.tzinfo)


def access_of(tx: Transaction, account: Account, client: Client, *, now: datetime, bounds: SourceBounds) -> AccessFacts:
    """What policies.access decides on, for one person and one client."""
    attachments = standing_attachments(tx, account.id, now=now, bounds=bounds)
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
    """Those of attachments that have not ended, by id: by one statement, in a home of one's own or in a group's four hundred."""
    open_ones = [attachment for attachment in attachments if attachment.ended_at is None]
    keys = {attachment.establishment_id for attachment in open_ones}
    if len(keys) > 1:
        return tx.establishments.of_account(open_ones[0].account_id)
    found = (tx.establishments.get(key) for key in keys)
    return {place.id: place for place in found if place is not None}


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
