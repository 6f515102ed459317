"""Diagnosis: where somebody is stuck, as a list of findings, the graver first, each with the one act that helps (finding.py).

Gathers and judges; changes nothing and asks nobody's permission: whoever shows the answer has asked (Act.FIND). What a directory says is asked of it
there and then, outside any SQL transaction; one that does not answer is a finding like another. What happened lately is lately.py's.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

import structlog

from connectors.base import Directory, Identity, SourceMisbehaved, SourceUnreachable, State
from idp.clock import Clock
from idp.desk.finding import Finding, Obstacle
from idp.desk.lately import Lately
from idp.signin.directories import Directories
from idp.signin.enrolment import has_strong
from idp.signin.factor_throttle import FactorThrottle
from idp.signin.throttle import LoginThrottle
from idp.store.base import Account, Attachment, Establishment, Factor, Link, Password
from idp.store.database import Database, Transaction
from policies.acts import Act
from policies.lifecycle import GONE, OPERATOR

OBSTACLE_OF_STATE = {
    State.LOCKED: Obstacle.DIRECTORY_LOCKED,
    State.DISABLED: Obstacle.DIRECTORY_DISABLED,
    State.EXPIRED: Obstacle.DIRECTORY_EXPIRED,
    State.MUST_CHANGE: Obstacle.DIRECTORY_MUST_CHANGE,
    State.OUT_OF_SCOPE: Obstacle.DIRECTORY_OUT_OF_SCOPE,
}
ACT_OF_STATE = {State.LOCKED: Act.UNLOCK, State.MUST_CHANGE: Act.RESET_PASSWORD}
REFUSING = frozenset({State.DISABLED, State.EXPIRED, State.OUT_OF_SCOPE, GONE})
NOT_ENROLLED = frozenset({"recovery", "pass"})  # kinds of tries that need no factor of theirs
GRAVITY = {obstacle: place for place, obstacle in enumerate(Obstacle)}
log = structlog.get_logger(__name__)


class Diagnosis:
    """Safe between threads; one per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        directories: Directories,
        kinds: Mapping[str, str],
        throttle: LoginThrottle,
        factor_throttle: FactorThrottle,
        wants_factor: Callable[[Transaction, Account], bool],
        lately: Lately,
    ) -> None:
        """`kinds`: the `type` of each directory and provider of the configuration, by name. `wants_factor`: whether a second factor will be asked of
        somebody (idp/signin/factor_need.py)."""
        self._database = database
        self._clock = clock
        self._directories = directories
        self._kinds = kinds
        self._throttle = throttle
        self._factor_throttle = factor_throttle
        self._wants_factor = wants_factor
        self._lately = lately

    def of(
        self, account: Account, establishment: Establishment | None = None, *, places: Collection[str] | None = None
    ) -> tuple[Finding, ...]:
        """What stands between a person and their sign-in at an establishment (None: anywhere), the graver first; empty: nothing is known to.

        `places`: the establishments that whoever reads it sees, None for all: of a refusal at another they are not told where it was.
        Raises StoreUnavailable.
        """
        blocked = self._factor_throttle.blocked(account.id)
        with self._database.read() as tx:
            current = tx.people.get(account.id) or account
            links = tx.links.of_account(account.id)
            factors = tx.factors.open_of(account.id)
            found = [
                *self._of_account(current),
                *self._of_attachments(tx.people.attachments(account.id), establishment),
                *self._of_tries(tx, account),
                *_of_password(tx.people.password(account.id), links, factors),
                *self._of_factors(tx, current, factors, blocked=blocked),
                *self._lately.of(tx, account.id, places=places),
            ]
        for link in links:
            found += (
                self._of_directory(link)
                if link.kind == "directory"
                else self._of_provider(link, is_only=len(links) == 1 and link.kind == "upstream")
            )
        return tuple(sorted(found, key=lambda finding: (not finding.is_blocking, GRAVITY[finding.obstacle])))

    def _of_account(self, account: Account) -> Iterator[Finding]:
        if account.status == "ended":
            obstacle = Obstacle.ACCOUNT_ENDED if account.merged_into is None else Obstacle.ACCOUNT_MERGED
            yield Finding(obstacle=obstacle, since=account.ended_at)
        elif account.status == "suspended" and account.cut_by in {OPERATOR, None}:
            yield Finding(obstacle=Obstacle.ACCOUNT_SUSPENDED, act=Act.SUSPEND, since=account.updated_at)
        elif account.status == "suspended":
            yield Finding(obstacle=Obstacle.ACCOUNT_CUT_BY_SOURCE, source=account.cut_by, source_kind=self._kind(account.cut_by))

    def _of_attachments(self, attachments: tuple[Attachment, ...], establishment: Establishment | None) -> Iterator[Finding]:
        now = self._clock.now()
        here = [one for one in attachments if establishment is None or one.establishment_id == establishment.id]
        if any(one.is_valid(now) for one in here):
            return
        coming = [one.valid_from for one in here if one.ended_at is None and one.valid_from is not None and now < one.valid_from]
        over = [one.ended_at or one.valid_until for one in here if one.ended_at is not None or one.valid_until is not None]
        if coming:
            yield Finding(obstacle=Obstacle.ATTACHMENT_NOT_BEGUN, act=Act.ATTACH, until=min(coming))
        elif over:
            yield Finding(obstacle=Obstacle.ATTACHMENT_ENDED, act=Act.ATTACH, since=max(one for one in over if one is not None))
        else:
            yield Finding(obstacle=Obstacle.NO_ATTACHMENT, act=Act.ATTACH)

    def _of_tries(self, tx: Transaction, account: Account) -> Iterator[Finding]:
        closed = self._throttle.closed(tx, account.id)
        if not closed:
            return
        # Where they work is said first: what only strangers' side has closed holds nobody up there.
        worst = max(closed, key=lambda one: (one.side == "near", one.is_locked, one.wait))
        yield Finding(
            obstacle=Obstacle.LOCKED_HERE if worst.is_locked else Obstacle.THROTTLED_HERE,
            act=Act.UNLOCK,
            is_blocking=worst.side == "near",
            until=None if worst.is_locked else self._clock.now() + worst.wait,
        )

    def _of_factors(self, tx: Transaction, account: Account, factors: tuple[Factor, ...], *, blocked: frozenset[str]) -> Iterator[Finding]:
        own = {factor.kind for factor in factors}
        if closed := sorted(blocked & (own | NOT_ENROLLED)):
            yield Finding(
                obstacle=Obstacle.FACTOR_BLOCKED,
                act=Act.UNLOCK,
                is_blocking=bool(own) and own <= blocked,
                kinds=tuple(closed),
            )
        if not has_strong(factors) and not account.is_break_glass and self._wants_factor(tx, account):
            yield Finding(obstacle=Obstacle.NO_FACTOR, act=Act.ISSUE_PASS, is_blocking=False)

    def _of_directory(self, link: Link) -> Iterator[Finding]:
        directory = self._directories.get(link.connector)
        if directory is None:
            yield Finding(obstacle=Obstacle.DIRECTORY_NOT_CONFIGURED, source=link.connector)
            return
        kind = self._kind(link.connector)
        try:
            identity = directory.find(link.subject)
            is_protected = identity is not None and self._is_protected(directory, link)
        except SourceUnreachable as away:
            log.warning("directory_unreachable", connector=link.connector, trouble=away.trouble, detail=away.detail)
            yield Finding(obstacle=Obstacle.DIRECTORY_UNREACHABLE, source=link.connector, source_kind=kind)
            return
        except SourceMisbehaved as wrong:
            log.error("directory_misbehaved", connector=link.connector, detail=wrong.detail)
            yield Finding(obstacle=Obstacle.DIRECTORY_MISBEHAVED, source=link.connector, source_kind=kind)
            return
        may_act = directory.is_delegated and not is_protected
        for obstacle, act, is_blocking in _of_entry(identity, may_act=may_act):
            yield Finding(obstacle=obstacle, act=act, is_blocking=is_blocking, source=link.connector, source_kind=kind)
        if is_protected:
            yield Finding(obstacle=Obstacle.DIRECTORY_PROTECTED, is_blocking=False, source=link.connector, source_kind=kind)

    def _is_protected(self, directory: Directory, link: Link) -> bool:
        try:
            return directory.is_protected(link.subject)
        except SourceMisbehaved as wrong:
            # It holds up nobody's sign-in; but of whom that cannot be told nothing is done from here.
            log.error("directory_misbehaved", connector=link.connector, detail=wrong.detail)
            return True

    def _of_provider(self, link: Link, *, is_only: bool) -> Iterator[Finding]:
        kind = self._kind(link.connector)
        if link.word in REFUSING:
            yield Finding(obstacle=Obstacle.PROVIDER_REFUSES, source=link.connector, source_kind=kind, since=link.word_at)
        elif is_only:
            yield Finding(obstacle=Obstacle.PROVIDER_OWNS, is_blocking=False, source=link.connector, source_kind=kind)

    def _kind(self, source: str | None) -> str:
        return self._kinds.get(source or "", "")


def _of_entry(identity: Identity | None, *, may_act: bool) -> Iterator[tuple[Obstacle, Act | None, bool]]:
    """What the directory says of them, the act that helps, and whether nobody gets past it."""
    if identity is None:
        yield Obstacle.DIRECTORY_GONE, None, True
    elif identity.state in OBSTACLE_OF_STATE:
        act = ACT_OF_STATE.get(identity.state) if may_act else None
        yield OBSTACLE_OF_STATE[identity.state], act, identity.state is not State.MUST_CHANGE


def _of_password(password: Password | None, links: tuple[Link, ...], factors: tuple[Factor, ...]) -> Iterator[Finding]:
    if password is None and all(link.kind == "pushed" for link in links):
        # A passkey may open alone.
        has_passkey = any(factor.kind == "passkey" for factor in factors)
        yield Finding(obstacle=Obstacle.NO_PASSWORD, act=Act.RESET_PASSWORD, is_blocking=not has_passkey)
    elif password is not None and password.must_change and not any(link.kind == "directory" for link in links):
        yield Finding(obstacle=Obstacle.PASSWORD_MUST_CHANGE, act=Act.RESET_PASSWORD, is_blocking=False, since=password.changed_at)
