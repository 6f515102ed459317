"""Who a person of a directory is here: the Account, the Link, what they are found by and where they work, kept as the directory says.

Owns the writing of a directory's word, in the caller's transaction; where it comes from (a sign-in, a refresh, a sync) is the caller's. An Account is
recognised by the source's lasting id and by nothing else: an address or a name that another Account carries is left to that Account, unless every
source has let that one go. What an operator decided (a suspension, an attachment) is never undone by a source. Links are made in links.py.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta

from connectors.base import NO_INSTANT, Identity
from idp.audit import Author, EventType, Reason, Word
from idp.clock import Clock
from idp.config import Config
from idp.endings import Cause, Ended, cut_account, end_connector_access, end_devices
from idp.errors import Refused, StoreUnavailable
from idp.messages.messenger import Messenger
from idp.signals import Occasion, account_changed, credential_changed
from idp.signin.links import CONFLICT as CONFLICT
from idp.signin.links import SAME_PERSON, leads, record
from idp.signin.naming import SHOWN, find_by, rename, shown
from idp.signin.placing import Place, place
from idp.store.base import Account, Link
from idp.store.database import Transaction
from policies.lifecycle import Judgement, LifecycleFacts, Verdict, is_reset, judge, lets_stay
from policies.mapping import MappingRule, Placement, Placer
from policies.mapping_text import Home

# How far the clocks of two of our hosts may be apart, at most.
CLOCKS_DIFFER = timedelta(minutes=5)


class NotKept(Refused):
    """Nothing is kept of the person: no rule places somebody unknown (nothing_grants), or they were unlinked here (unlinked)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What became of a directory's word: `changes` are the fields and attachments that are no longer as they were.

    `rivals` are Accounts that carry what this person is called: the source may have to be asked whether they are still there (succession.py).
    """

    account: Account
    is_new: bool = False
    changes: tuple[str, ...] = ()
    verdict: Verdict = Verdict.KEEP
    password_changed_at: datetime | None = None  # when it was changed through us, as far as we know
    ended: Ended = field(default_factory=Ended)
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenEstablishments:
    """Those that mapping rules may place people at, at one instant: their ids by slug, and what a directory may call them."""

    ids: Mapping[str, str]
    homes: frozenset[Home]


class Linking:
    """Writes what directories say. Safe between threads. `messenger` tells people when they are reached elsewhere from now on."""

    def __init__(self, config: Config, clock: Clock, messenger: Messenger | None = None) -> None:
        self._clock = clock
        self._messenger = messenger
        self._providers = frozenset(provider.name for provider in config.providers)
        # A tenant's administrators give the names of Entra; elsewhere a person may write their own, unless the operator names another claim.
        openid = [provider for provider in config.providers if provider.type == "oidc"]
        self._self_named = frozenset(one.name for one in openid if one.claims.username == "preferred_username")
        self._own_domains = {one.name: frozenset(domain.lower() for domain in one.domains) for one in openid}
        self._rules = {
            directory.name: tuple(
                MappingRule(
                    group=rule.group,
                    role=rule.role,
                    attributes=rule.attributes,
                    establishment=rule.establishment,
                    profile=rule.profile,
                    sector=rule.sector,
                )
                for rule in directory.mapping
            )
            for directory in (*config.directories, *config.providers, *config.scim)
        }
        self._pushing = frozenset(source.name for source in config.scim)
        self._placers: dict[str, tuple[frozenset[Home], Placer]] = {}

    def rules(self, connector: str) -> tuple[MappingRule, ...]:
        """The mapping rules of a directory."""
        return self._rules.get(connector, ())

    def digest(self, identity: Identity, placements: tuple[Placement, ...]) -> str:
        """Of everything that `adopt` would keep: equal digests mean that there is nothing to write but the instant."""
        said = [identity.state, *(shown(identity, name) for name in SHOWN), identity.number, *(astuple(one) for one in placements)]
        if identity.ends_at is not None:
            said.append(identity.ends_at.isoformat())
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:43]

    def adopt(
        self,
        tx: Transaction,
        identity: Identity,
        author: Author,
        *,
        is_signing_in: bool = False,
        establishments: OpenEstablishments | None = None,
        is_placed_elsewhere: bool = False,
    ) -> Adopted:
        """Keep a person as the directory has them now; `is_signing_in` when they have just proven themselves, which alone can reinstate: or when a
        source that nobody signs in by writes that they may (idp/scim).

        `establishments` are the open ones, when the caller has read them already; `is_placed_elsewhere`: another source of theirs gives
        attachments. StoreUnavailable when the same person is being adopted elsewhere at this instant: try again. NotKept when nothing places somebody
        unknown, and of whoever was unlinked.
        """
        identity = self._without_chosen_names(identity)
        author = author.hearing(Word(connector=identity.connector, subject=identity.subject, heard_at=identity.seen_at))
        places = open_establishments(tx) if establishments is None else establishments
        link = tx.links.get(identity.connector, identity.subject)
        if link is None:
            if not (is_placed_elsewhere or self.placements(identity, places)):
                raise NotKept(Reason.NOTHING_GRANTS, f"no rule places {identity.connector}/{identity.subject}")
            return self._create(tx, identity, author, establishments=places)
        if link.ended_at is not None:
            raise NotKept(Reason.UNLINKED, f"{identity.connector}/{identity.subject} was unlinked")
        link, account = self._held(tx, link)
        if link.ended_at is not None:
            raise NotKept(Reason.UNLINKED, f"{identity.connector}/{identity.subject} was unlinked meanwhile")
        if self.is_outdated(link, identity.seen_at):
            # Somebody heard the directory later than this: an earlier "yes" must not undo a later "no", nor the other way round.
            return Adopted(account=account, password_changed_at=link.password_changed_at)
        placements = self.placements(identity, places)
        judgement = self.judge(link, account, str(identity.state), placements=len(placements))
        if judgement.verdict is Verdict.HOLD:
            return self._hold(tx, link, account, author, reason=judgement.reason)
        # What is said of somebody who is cut is not kept beyond that: their groups may not even have been read.
        is_cut = not lets_stay(identity.state)
        seen = "" if is_cut else self.digest(identity, placements)
        changes: tuple[str, ...] = ()
        rivals: tuple[str, ...] = ()
        if not is_cut and seen != link.seen_digest:
            changes, rivals = self._keep(tx, link, account, identity, author=author, places=_at(placements, places))
        tx.links.hear(link.connector, link.subject, word=identity.state, at=identity.seen_at, seen_digest=seen)
        if not is_cut and identity.ends_at != link.ends_at:
            tx.links.change(link.connector, link.subject, ends_at=identity.ends_at)
        if changes:
            fields = {"fields": " ".join(changes)}
            record(tx, EventType.ACCOUNT_CHANGED, account.id, author, connector=identity.connector, details=fields, clock=self._clock)
        ended = self._take_back(tx, link, account, author, word=identity.state)
        ended += self._carry_out(tx, link, account, author, judgement=judgement, is_signing_in=is_signing_in)
        changed_at, forgotten = self._heed_password(tx, link, identity, author)
        ended += forgotten
        is_touched = bool(changes) or judgement.verdict is not Verdict.KEEP
        after = tx.people.get(account.id) if is_touched else account
        return Adopted(
            account=after or account,
            changes=changes,
            verdict=judgement.verdict,
            password_changed_at=changed_at,
            ended=ended,
            rivals=rivals,
        )

    def apply_word(self, tx: Transaction, link: Link, word: str, author: Author) -> Adopted:
        """Keep a word that comes without an Identity: the entry is gone, or a sign-in heard that it is disabled. Of whoever was unlinked it says
        nothing."""
        link, account = self._held(tx, link)
        author = author.hearing(Word(connector=link.connector, subject=link.subject, heard_at=self._clock.now()))
        if link.ended_at is not None:
            return Adopted(account=account)
        judgement = self.judge(link, account, word, placements=0)
        if judgement.verdict is Verdict.HOLD:
            return self._hold(tx, link, account, author, reason=judgement.reason)
        ended = self._take_back(tx, link, account, author, word=word)
        ended += self._carry_out(tx, link, account, author, judgement=judgement, is_signing_in=False)
        # Whatever is said next of somebody who had gone is new.
        seen = link.seen_digest if word == link.word else ""
        tx.links.hear(link.connector, link.subject, word=word, at=self._clock.now(), seen_digest=seen)
        return Adopted(account=tx.people.get(account.id) or account, verdict=judgement.verdict, ended=ended)

    def is_outdated(self, link: Link, seen_at: datetime) -> bool:
        """Whether somebody heard the directory later than `seen_at`. What was heard in a future that no clock of ours is in was heard by one that was
        wrong: nobody may be out of reach of every later word until that day.
        """
        return seen_at < link.word_at <= self._clock.now() + CLOCKS_DIFFER

    def _held(self, tx: Transaction, link: Link) -> tuple[Link, Account]:
        """The Link and its Account, held; read again, because another server may have written both while we waited."""
        tx.people.hold(link.account_id)
        current, account = tx.links.get(link.connector, link.subject), tx.people.get(link.account_id)
        if current is None or account is None:
            raise LookupError(f"the link {link.connector}/{link.subject} leads to no account")
        return current, account

    def _without_chosen_names(self, identity: Identity) -> Identity:
        """A login that the person chose at a provider is nobody's here: it is neither what they are found by nor what applications are told."""
        return replace(identity, username=None) if identity.connector in self._self_named else identity

    def judge(self, link: Link, account: Account, word: str, *, placements: int) -> Judgement:
        """What a directory's word on a linked person means now."""
        return judge(
            LifecycleFacts(
                word=word,
                placements=placements,
                account_status=account.status,
                cut_by=account.cut_by,
                connector=link.connector,
                held_until=link.held_until,
                now=self._clock.now(),
            )
        )

    def _hold(self, tx: Transaction, link: Link, account: Account, author: Author, *, reason: str) -> Adopted:
        """Keep the last verdict, and remember that we asked; each pass is recorded."""
        tx.links.hear(link.connector, link.subject, word=link.word, at=self._clock.now(), seen_digest=link.seen_digest)
        record(tx, EventType.STANDING_HELD, account.id, author, connector=link.connector, reason=Reason(reason), clock=self._clock)
        return Adopted(account=account, verdict=Verdict.HOLD)

    def _take_back(self, tx: Transaction, link: Link, account: Account, author: Author, *, word: str) -> Ended:
        """A provider that the person once showed us, and that lets go of them: what came by it ends and what it gave, and not who they are here."""
        if lets_stay(word) or account.status == "ended" or _speaks_for_the_person(tx, link):
            return Ended()
        place(tx, account, (), author, source=link.connector, clock=self._clock)
        reason = Reason(self.judge(link, replace(account, status="active"), word, placements=0).reason)
        return end_connector_access(tx, account.id, link.connector, cause=Cause.by(author, reason), clock=self._clock)

    def _carry_out(
        self, tx: Transaction, link: Link, account: Account, author: Author, *, judgement: Judgement, is_signing_in: bool
    ) -> Ended:
        if judgement.verdict is Verdict.SUSPEND and account.is_active and _speaks_for_the_person(tx, link):
            cause = Cause.by(author, Reason(judgement.reason))
            return cut_account(tx, account.id, cause, status="suspended", cut_by=link.connector, clock=self._clock)
        if judgement.verdict is Verdict.REINSTATE and is_signing_in:
            if (cutting := _also_cut_by(tx, link)) is not None:
                # One source's yes does not lift what another has said since: from here on that one must take it back.
                tx.people.change(account.id, self._clock.now(), cut_by=cutting)
                return Ended()
            tx.people.change(account.id, self._clock.now(), status="active", cut_by=None)
            occasion = Occasion(author.actor, str(EventType.ACCOUNT_REINSTATED), author.origin)
            account_changed(tx, account.id, "enabled", occasion=occasion, clock=self._clock)
            record(tx, EventType.ACCOUNT_REINSTATED, account.id, author, connector=link.connector, clock=self._clock)
        return Ended()

    def _heed_password(self, tx: Transaction, link: Link, identity: Identity, author: Author) -> tuple[datetime | None, Ended]:
        """Somebody set another password in the directory: the former one's Sessions end, and proofs of it that are under way are worth nothing.

        The Account stays as it is: they sign in again with the new one. Since when a proof counts, and what ended.
        """
        if link.password_set_at is None and (begins_at := _begins_at(link.kind, identity)) is not None:
            tx.links.change(link.connector, link.subject, password_set_at=begins_at)
            return link.password_changed_at, Ended()
        if not has_new_password(link.password_set_at, identity):
            return link.password_changed_at, Ended()
        tx.links.change(link.connector, link.subject, password_set_at=identity.password_set_at)
        # By the directory's clock, as the tickets of its Windows sessions are.
        said = identity.password_set_at
        since = self._clock.now() if said is None or said == NO_INSTANT else said
        tx.links.change_password(link.connector, link.subject, since)
        cause = Cause.by(author, Reason.DIRECTORY_PASSWORD_SET)
        ended = end_connector_access(tx, link.account_id, link.connector, cause=cause, clock=self._clock)
        end_devices(tx, link.account_id, cause, clock=self._clock)
        occasion = Occasion.by(author, Reason.DIRECTORY_PASSWORD_SET)
        credential_changed(tx, link.account_id, "password", change="update", occasion=occasion, clock=self._clock)
        record(
            tx,
            EventType.PASSWORD_SET_ELSEWHERE,
            link.account_id,
            author,
            connector=link.connector,
            clock=self._clock,
            reason=Reason.DIRECTORY_PASSWORD_SET,
            details={"sessions_ended": ended.sessions},
        )
        return since, ended

    def _create(self, tx: Transaction, identity: Identity, author: Author, *, establishments: OpenEstablishments) -> Adopted:
        now = self._clock.now()
        placements = self.placements(identity, establishments)
        places = _at(placements, establishments)
        account = Account(
            id=self._clock.new_id(),
            status="active",
            username=shown(identity, "username"),
            given_name=shown(identity, "given_name") or "",
            family_name=shown(identity, "family_name") or "",
            email=shown(identity, "email"),
            email_verified=False,
            phone_number=shown(identity, "phone_number"),
            phone_number_verified=False,
            address=None,
            locale=None,
            is_demo=False,
            last_establishment_id=None,
            created_at=now,
            updated_at=now,
            ended_at=None,
        )
        tx.people.add(account, found_by=())
        link = Link(
            connector=identity.connector,
            subject=identity.subject,
            account_id=account.id,
            word=identity.state,
            word_at=identity.seen_at,
            seen_digest=self.digest(identity, placements),
            held_by_run=None,
            held_until=None,
            password_changed_at=None,
            created_at=now,
            kind="upstream" if identity.connector in self._providers else "pushed" if identity.connector in self._pushing else "directory",
            how="created" if identity.connector in self._providers else "directory",
            ends_at=identity.ends_at,
            password_set_at=None,
        )
        link = replace(link, password_set_at=_begins_at(link.kind, identity))
        if not tx.links.add(link):
            raise StoreUnavailable(CONFLICT, f"{link.connector}/{link.subject} is being adopted elsewhere")
        left, rivals = find_by(tx, account.id, self._found_by(identity), author=author, places=places, clock=self._clock)
        rename(tx, account, identity, left=left, author=author, clock=self._clock)
        details = {"how": link.how, "left_to_others": " ".join(left) or None}
        record(tx, EventType.ACCOUNT_LINKED, account.id, author, connector=identity.connector, details=details, clock=self._clock)
        place(tx, account, places, author, source=identity.connector, clock=self._clock)
        judgement = self.judge(link, account, str(identity.state), placements=len(placements))
        ended = self._carry_out(tx, link, account, author, judgement=judgement, is_signing_in=False)
        return Adopted(account=tx.people.get(account.id) or account, is_new=True, verdict=judgement.verdict, ended=ended, rivals=rivals)

    def _keep(
        self, tx: Transaction, link: Link, account: Account, identity: Identity, *, author: Author, places: tuple[Place, ...]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Everything that is new; the names of what changed, and the rivals for what the person is called."""
        renamed: list[str] = []
        rivals: tuple[str, ...] = ()
        if leads(tx, link):
            found_by = self._found_by(identity)
            left, rivals = find_by(tx, account.id, found_by, author=author, places=places, clock=self._clock)
            renamed = rename(tx, account, identity, left=left, author=author, clock=self._clock, messenger=self._messenger)
        is_moved = place(tx, account, places, author, source=identity.connector, clock=self._clock)
        return (*renamed, *(("attachments",) if is_moved else ())), rivals

    def _found_by(self, identity: Identity) -> Identity:
        """What they may be found by: an address that an OpenID Provider says only where it is of the provider's own domains."""
        domains = self._own_domains.get(identity.connector)
        is_theirs = domains is None or (identity.email or "").rpartition("@")[2].lower() in domains
        return identity if is_theirs else replace(identity, email=None)

    def placements_now(self, tx: Transaction, identity: Identity) -> tuple[Placement, ...]:
        """Where the rules put a person, at the establishments that are open now."""
        return self.placements(identity, open_establishments(tx))

    def placements(self, identity: Identity, establishments: OpenEstablishments) -> tuple[Placement, ...]:
        """Where the rules put a person."""
        return self._placer(identity.connector, establishments).placements(identity.groups, identity.attributes or {})

    def listens_to(self, connector: str, groups: frozenset[str], establishments: OpenEstablishments) -> bool:
        """Whether belonging to any of these groups of a directory can change where somebody is placed."""
        return self._placer(connector, establishments).listens_to(groups)

    def _placer(self, connector: str, establishments: OpenEstablishments) -> Placer:
        known, placer = self._placers.get(connector, (None, None))
        if placer is None or known != establishments.homes:
            placer = Placer(self.rules(connector), establishments.homes)
            self._placers[connector] = (establishments.homes, placer)
        return placer


def has_new_password(known: datetime | None, identity: Identity) -> bool:
    """Whether a source has another instant of a password than was `known`: one that ends something, or the first."""
    said = identity.password_set_at
    return said is not None and (known is None or is_reset(known, said, no_instant=NO_INSTANT))


def _begins_at(kind: str, identity: Identity) -> datetime | None:
    """What later instants of a password are compared with. A directory that has none yet says one as soon as the password is set."""
    return identity.password_set_at or (NO_INSTANT if kind == "directory" else None)


def _at(placements: tuple[Placement, ...], establishments: OpenEstablishments) -> tuple[Place, ...]:
    return tuple((establishments.ids[one.establishment], one.profile, one.sector) for one in placements)


def _speaks_for_the_person(tx: Transaction, link: Link) -> bool:
    """Whether a source's no is said of the person: a directory's is, and a provider's that knows them by the directory's id; where there is no such
    source, that of the provider that made them. What they linked later, by themselves, takes nothing from that.
    """
    if link.kind == "directory" or link.how in SAME_PERSON:
        return True
    if link.how != "created":
        return False
    others = [one for one in tx.links.of_account(link.account_id) if (one.connector, one.subject) != (link.connector, link.subject)]
    has_employer = any(one.kind == "directory" or one.how in SAME_PERSON for one in others)
    first = min((one.created_at for one in others if one.how == "created"), default=link.created_at)
    return not has_employer and link.created_at <= first


def _also_cut_by(tx: Transaction, link: Link) -> str | None:
    """Another source of the same person whose last word would cut them too."""
    others = (one for one in tx.links.of_account(link.account_id) if (one.connector, one.subject) != (link.connector, link.subject))
    return next((one.connector for one in others if not lets_stay(one.word) and _speaks_for_the_person(tx, one)), None)


def open_establishments(tx: Transaction) -> OpenEstablishments:
    """The open establishments: what mapping rules may place people at."""
    found = tx.establishments.open_names()
    return OpenEstablishments(
        {slug: id for id, slug, _, _ in found}, frozenset(Home(slug, finess, siret) for _, slug, finess, siret in found)
    )
