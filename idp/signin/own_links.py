"""What a signed-in person sees and does about their own sign-ins at providers, on the account page: which are linked, link another, unlink.

Owns the overview, what counts as a sign-in of just now, and that the last way in is not taken away. Linking itself is a journey to the provider and
the LINK step; directories are the employer's and are not the person's to unlink. Calls links.py.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from idp.audit import Author, EventType, Origin, Reason
from idp.clock import Clock
from idp.endings import Ended
from idp.errors import Refused
from idp.signin.devices import Tell
from idp.signin.links import record, unlink
from idp.signin.providers import Providers
from idp.store.base import Account, Establishment, Link, Session
from idp.store.database import Database, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedSignIn:
    """One that stands. `is_own`: the person may unlink it."""

    connector: str
    label: str
    since: datetime
    is_own: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOverview:
    """`linkable` are providers (name, label) that nobody of is linked yet; `is_fresh`: the person has just signed in, and may change something."""

    account: Account
    active: Establishment | None
    linked: tuple[LinkedSignIn, ...]
    linkable: tuple[tuple[str, str], ...]
    is_fresh: bool


class OwnLinks:
    """A person's own links, by their live Session. Safe between threads; build one per process."""

    def __init__(self, database: Database, clock: Clock, *, providers: Providers, recent: timedelta, tell: Tell) -> None:
        self._database = database
        self._clock = clock
        self._providers = providers
        self._recent = recent
        self._tell = tell

    def is_fresh(self, session: Session) -> bool:
        """Whether the person of a Session has shown just now who they are."""
        shown_at = session.proofs[0].at if session.proofs else session.auth_time
        return self._clock.now() - shown_at <= self._recent

    def overview(self, session: Session) -> LinkOverview:
        """Everything the page shows. Raises Refused(account_not_active) when the account was cut."""
        with self._database.read() as tx:
            account = tx.people.get(session.account_id)
            active = tx.establishments.get(session.establishment_id)
            links = tx.links.of_account(session.account_id)
        if account is None or not account.is_active:
            raise Refused(Reason.ACCOUNT_NOT_ACTIVE, session.account_id)
        there = {one.connector for one in links}
        slug = active.slug if active else None
        return LinkOverview(
            account=account,
            active=active,
            linked=tuple(
                LinkedSignIn(connector=one.connector, label=self._label(one), since=one.created_at, is_own=one.kind == "upstream")
                for one in links
            ),
            linkable=tuple((one.name, one.label) for one in self._providers if one.name not in there and one.serves(slug)),
            is_fresh=self.is_fresh(session),
        )

    def unlink(self, session: Session, connector: str, *, origin: Origin) -> Ended | None:
        """Unlink the person's own sign-in at a provider; None when there is none. What it had opened ends, this Session too if it was that.

        Raises Refused(last_way_in), with its Event.
        """
        author = Author(f"account:{session.account_id}", origin)
        with self._database.write() as tx:
            tx.people.hold(session.account_id)
            links = tx.links.of_account(session.account_id)
            given = next((one for one in links if one.connector == connector and one.kind == "upstream"), None)
            if given is None:
                return None
            if self._has_another_way(tx, session.account_id, links, given):
                ended = unlink(tx, given, author, clock=self._clock)
                if (account := tx.people.get(session.account_id)) is not None:
                    self._tell(tx, account, "link_removed", {"hint": self._label(given)}, author=author)
                return ended
            kind, reason = EventType.ACCOUNT_LINK_REFUSED, Reason.LAST_WAY_IN
            record(tx, kind, session.account_id, author, connector=connector, clock=self._clock, reason=reason)
        raise Refused(Reason.LAST_WAY_IN, connector)

    def _has_another_way(self, tx: Transaction, account_id: str, links: tuple[Link, ...], given: Link) -> bool:
        """A password here, a directory, another provider that is still configured, or a passkey."""
        if tx.people.password(account_id) is not None or any(one.kind == "passkey" for one in tx.factors.open_of(account_id)):
            return True
        others = (one for one in links if (one.connector, one.subject) != (given.connector, given.subject))
        return any(one.kind == "directory" or self._providers.get(one.connector) is not None for one in others)

    def _label(self, link: Link) -> str:
        provider = self._providers.get(link.connector)
        return provider.label if provider else link.connector
