"""Who a person of a directory is here: the Account, the Link, what they are found by and where they work, kept as the directory says.

Owns the writing of a directory's word, in the caller's transaction; where it comes from (a sign-in, a refresh, a sync) is the caller's. An Account is
recognised by the directory's lasting id and by nothing else: an address or a name that another Account carries is left to that Account. What an
operator decided (a suspension, an attachment) is never undone by a directory.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import datetime

from connectors.base import Identity
from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config
from idp.endings import Cause, Ended, cut_account
from idp.errors import StoreUnavailable
from idp.signin.local import normalise_identifier
from idp.signin.placing import Place, place
from idp.store.base import Account, Link
from idp.store.database import Transaction
from policies.lifecycle import Judgement, LifecycleFacts, Verdict, judge, lets_stay
from policies.mapping import MappingRule, Placement, Placer

CONFLICT = "store_conflict"
SHOWN = ("username", "given_name", "family_name", "email", "phone_number")
LENGTH = {"username": 120, "given_name": 80, "family_name": 80, "email": 254, "phone_number": 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """What became of a directory's word: `changes` are the fields and attachments that are no longer as they were."""

    account: Account
    is_new: bool = False
    changes: tuple[str, ...] = ()
    verdict: Verdict = Verdict.KEEP
    password_changed_at: datetime | None = None  # when it was changed through us, as far as we know
    ended: Ended = field(default_factory=Ended)


class Linking:
    """Writes what directories say. Safe between threads."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._rules = {
            directory.name: tuple(
                MappingRule(
                    group=rule.group,
                    attributes=rule.attributes,
                    establishment=rule.establishment,
                    profile=rule.profile,
                    sector=rule.sector,
                )
                for rule in directory.mapping
            )
            for directory in config.directories
        }
        self._placers: dict[str, tuple[frozenset[str], Placer]] = {}

    def rules(self, connector: str) -> tuple[MappingRule, ...]:
        """The mapping rules of a directory."""
        return self._rules.get(connector, ())

    def digest(self, identity: Identity, placements: tuple[Placement, ...]) -> str:
        """Of everything that `adopt` would keep: equal digests mean that there is nothing to write but the instant."""
        said = [identity.state, *(_shown(identity, name) for name in SHOWN), identity.number, *(astuple(one) for one in placements)]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:43]

    def adopt(
        self,
        tx: Transaction,
        identity: Identity,
        author: Author,
        *,
        is_signing_in: bool = False,
        establishments: Mapping[str, str] | None = None,
    ) -> Adopted:
        """Keep a person as the directory has them now; `is_signing_in` when they have just proven themselves, which alone can reinstate.

        `establishments` are the open ones, id by slug, when the caller has read them already. StoreUnavailable when the same person is being adopted
        elsewhere at this instant: try again.
        """
        places = open_establishments(tx) if establishments is None else establishments
        link = tx.links.get(identity.connector, identity.subject)
        if link is None:
            return self._create(tx, identity, author, establishments=places)
        link, account = self._held(tx, link)
        if identity.seen_at < link.word_at:
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
        if not is_cut and seen != link.seen_digest:
            changes = self._keep(tx, account, identity, author, places=_at(placements, places))
        tx.links.hear(link.connector, link.subject, word=identity.state, at=identity.seen_at, seen_digest=seen)
        if changes:
            fields = {"fields": " ".join(changes)}
            self._record(tx, EventType.ACCOUNT_CHANGED, account.id, author, connector=identity.connector, details=fields)
        ended = self._carry_out(tx, link, account, author, judgement=judgement, is_signing_in=is_signing_in)
        is_touched = bool(changes) or judgement.verdict is not Verdict.KEEP
        after = tx.people.get(account.id) if is_touched else account
        return Adopted(
            account=after or account,
            changes=changes,
            verdict=judgement.verdict,
            password_changed_at=link.password_changed_at,
            ended=ended,
        )

    def apply_word(self, tx: Transaction, link: Link, word: str, author: Author) -> Adopted:
        """Keep a word that comes without an Identity: the entry is gone, or a sign-in heard that it is disabled."""
        link, account = self._held(tx, link)
        judgement = self.judge(link, account, word, placements=0)
        if judgement.verdict is Verdict.HOLD:
            return self._hold(tx, link, account, author, reason=judgement.reason)
        ended = self._carry_out(tx, link, account, author, judgement=judgement, is_signing_in=False)
        # Whatever is said next of somebody who had gone is new.
        seen = link.seen_digest if word == link.word else ""
        tx.links.hear(link.connector, link.subject, word=word, at=self._clock.now(), seen_digest=seen)
        return Adopted(account=tx.people.get(account.id) or account, verdict=judgement.verdict, ended=ended)

    def _held(self, tx: Transaction, link: Link) -> tuple[Link, Account]:
        """The Link and its Account, held; read again, because another server may have written both while we waited."""
        tx.people.hold(link.account_id)
        current, account = tx.links.get(link.connector, link.subject), tx.people.get(link.account_id)
        if current is None or account is None:
            raise LookupError(f"the link {link.connector}/{link.subject} leads to no account")
        return current, account

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
        self._record(tx, EventType.STANDING_HELD, account.id, author, connector=link.connector, reason=Reason(reason))
        return Adopted(account=account, verdict=Verdict.HOLD)

    def _carry_out(
        self, tx: Transaction, link: Link, account: Account, author: Author, *, judgement: Judgement, is_signing_in: bool
    ) -> Ended:
        if judgement.verdict is Verdict.SUSPEND and account.is_active:
            cause = Cause(Reason(judgement.reason), author.actor, author.origin)
            return cut_account(tx, account.id, cause, status="suspended", cut_by=link.connector, clock=self._clock)
        if judgement.verdict is Verdict.REINSTATE and is_signing_in:
            tx.people.change(account.id, self._clock.now(), status="active", cut_by=None)
            self._record(tx, EventType.ACCOUNT_REINSTATED, account.id, author, connector=link.connector)
        return Ended()

    def _create(self, tx: Transaction, identity: Identity, author: Author, *, establishments: Mapping[str, str]) -> Adopted:
        now = self._clock.now()
        placements = self.placements(identity, establishments)
        places = _at(placements, establishments)
        account = Account(
            id=self._clock.new_id(),
            status="active",
            username=_shown(identity, "username"),
            given_name=_shown(identity, "given_name") or "",
            family_name=_shown(identity, "family_name") or "",
            email=_shown(identity, "email"),
            email_verified=False,
            phone_number=_shown(identity, "phone_number"),
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
        )
        if not tx.links.add(link):
            raise StoreUnavailable(CONFLICT, f"{link.connector}/{link.subject} is being adopted elsewhere")
        left = self._find_by(tx, account.id, identity, places=places)
        self._rename(tx, account, identity, left=left)
        details = {"left_to_others": " ".join(left) or None}
        self._record(tx, EventType.ACCOUNT_LINKED, account.id, author, connector=identity.connector, details=details)
        place(tx, account, places, author, source=identity.connector, clock=self._clock)
        judgement = self.judge(link, account, str(identity.state), placements=len(placements))
        ended = self._carry_out(tx, link, account, author, judgement=judgement, is_signing_in=False)
        return Adopted(account=tx.people.get(account.id) or account, is_new=True, verdict=judgement.verdict, ended=ended)

    def _keep(self, tx: Transaction, account: Account, identity: Identity, author: Author, *, places: tuple[Place, ...]) -> tuple[str, ...]:
        """Everything that is new; the names of what changed."""
        left = self._find_by(tx, account.id, identity, places=places)
        renamed = self._rename(tx, account, identity, left=left)
        is_moved = place(tx, account, places, author, source=identity.connector, clock=self._clock)
        return (*renamed, *(("attachments",) if is_moved else ()))

    def _rename(self, tx: Transaction, account: Account, identity: Identity, *, left: list[str]) -> list[str]:
        """Keep what the person is called.

        A login or an address that is left to another Account is not shown either: applications would take this person for that one.
        """
        values = {name: None if name in left else _shown(identity, name) for name in SHOWN}
        for name in ("given_name", "family_name"):
            values[name] = values[name] or ""
        changed = {name: value for name, value in values.items() if value != getattr(account, name)}
        if changed:
            for name in ("email", "phone_number"):
                if name in changed:
                    changed[f"{name}_verified"] = False  # type: ignore[assignment]  # one mapping of columns of several types
            tx.people.change(account.id, self._clock.now(), **changed)
        return [name for name in SHOWN if name in changed]

    def _find_by(self, tx: Transaction, account_id: str, identity: Identity, *, places: tuple[Place, ...]) -> list[str]:
        """Let the person be found by what the directory calls them; the kinds that are left to another Account."""
        wanted = [("username", identity.username, ""), ("email", identity.email, "")]
        if places:
            wanted.append(("number", identity.number, places[0][0]))
        present = set(tx.people.identifiers(account_id))
        left = []
        for kind, value, scope in wanted:
            known = normalise_identifier(value or "")
            if (kind, known, scope) in present:
                continue
            if any(one[0] == kind for one in present):
                tx.people.remove_identifiers(account_id, kind)
            if not known or len(known) > LENGTH["email"]:
                continue
            # A username that is another person's staff number would make both ambiguous: values are compared across kinds.
            is_taken = any(other.id != account_id for other in tx.people.matching(known, scope or None))
            if is_taken or not tx.people.claim_identifier(account_id, kind, value=known, scope=scope):
                left.append(kind)
        return left

    def placements(self, identity: Identity, establishments: Mapping[str, str]) -> tuple[Placement, ...]:
        """Where the rules put a person; `establishments` are the open ones, id by slug."""
        known, placer = self._placers.get(identity.connector, (None, None))
        if placer is None or known != frozenset(establishments):
            known = frozenset(establishments)
            placer = Placer(self.rules(identity.connector), known)
            self._placers[identity.connector] = (known, placer)
        return placer.placements(identity.groups, identity.attributes or {})

    def _record(
        self,
        tx: Transaction,
        kind: EventType,
        account_id: str,
        author: Author,
        *,
        connector: str,
        reason: Reason | None = None,
        details: Mapping[str, str | int | bool | None] | None = None,
    ) -> None:
        tx.events.append(
            Event(
                type=kind,
                at=self._clock.now(),
                actor=author.actor,
                origin=author.origin,
                reason=reason,
                account_id=account_id,
                connector=connector,
                details={name: value for name, value in (details or {}).items() if value is not None},
            )
        )


def _at(placements: tuple[Placement, ...], establishments: Mapping[str, str]) -> tuple[Place, ...]:
    return tuple((establishments[one.establishment], one.profile, one.sector) for one in placements)


def open_establishments(tx: Transaction) -> dict[str, str]:
    """The open establishments, id by slug: what mapping rules may place people at."""
    return tx.establishments.open_ids()


def _shown(identity: Identity, name: str) -> str | None:
    """A value as it is kept: without control characters, cut to its column, None when the directory has none."""
    value: str | None = getattr(identity, name)
    text = "".join(character for character in value or "" if character.isprintable()).strip()[: LENGTH[name]]
    return text or None
