"""Standing: is a person still who their directory, or the provider that they came by, said? Asked again when its last word is older than the bound.

Owns the asking and the keeping of the answer (through idp.signin.linking, which ends what must end). idp/oauth and idp/signin notice that a word is
old, let go of their transaction and call `ask`; then they look again. A source that does not answer changes nothing here: how long its last word
may still be used (`standing.grace`) is theirs to say, and a person whom it had refused stays refused. Providers are asked by upstream_standing.py.
"""

from datetime import datetime

import structlog

from connectors.base import Identity, SourceMisbehaved, SourceUnreachable
from idp.audit import Author, Origin
from idp.clock import Clock
from idp.config import StandingSettings
from idp.lifecycle.upstream_standing import UpstreamStanding
from idp.signin.directories import Directories
from idp.signin.linking import Linking
from idp.store.base import Link
from idp.store.database import Database
from policies.lifecycle import GONE

log = structlog.get_logger(__name__)


class Standing:
    """Asks directories and providers about people whose last word is old. Safe between threads."""

    def __init__(
        self,
        database: Database,
        directories: Directories,
        linking: Linking,
        *,
        upstreams: UpstreamStanding,
        clock: Clock,
        settings: StandingSettings,
    ) -> None:
        self._database = database
        self._directories = directories
        self._linking = linking
        self._upstreams = upstreams
        self._clock = clock
        self._bound = settings.staleness_bound

    def ask(self, account_id: str, origin: Origin) -> None:
        """Ask every source that knows the account and has not spoken within the bound; what it says is kept when this returns.

        No SQL transaction is open while one is asked. Raises StoreUnavailable.
        """
        before = self._clock.now() - self._bound
        self._ask_those(account_id, origin, before=before, upstream_before=before)

    def ask_now(self, account_id: str, origin: Origin) -> None:
        """Ask every directory that knows the account, however fresh its word: somebody signs in whose password it will not see. Raises as `ask`.

        A provider is asked within the bound, as ever: each of its refresh tokens may serve once.
        """
        self._ask_those(account_id, origin, before=None, upstream_before=self._clock.now() - self._bound)

    def _ask_those(self, account_id: str, origin: Origin, *, before: datetime | None, upstream_before: datetime) -> None:
        with self._database.read() as tx:
            links = [link for link in tx.links.of_account(account_id) if link.is_askable]
        for link in links:
            if link.kind == "upstream":
                if link.word_at < upstream_before:
                    self._upstreams.ask(link, origin, before=upstream_before)
            elif before is None or link.word_at < before:
                self._ask(link, origin)

    def _ask(self, link: Link, origin: Origin) -> None:
        directory = self._directories.get(link.connector)
        if directory is None:
            log.error("directory_not_configured", connector=link.connector, request_id=origin.request_id)
            return
        asked_at = self._clock.now()
        try:
            identity = directory.find(link.subject)
        except SourceUnreachable as away:
            log.warning(
                "directory_unreachable", connector=link.connector, trouble=away.trouble, detail=away.detail, request_id=origin.request_id
            )
            return
        except SourceMisbehaved as wrong:
            log.error("directory_misbehaved", connector=link.connector, detail=wrong.detail, request_id=origin.request_id)
            return
        self._keep(link, identity, asked_at, author=Author(f"connector:{link.connector}", origin))

    def _keep(self, link: Link, identity: Identity | None, asked_at: datetime, *, author: Author) -> None:
        with self._database.write() as tx:
            current = tx.links.get(link.connector, link.subject)
            if current is None or current.ended_at is not None or current.word_at > asked_at:
                return  # somebody heard it later than we asked, or has unlinked them meanwhile
            if identity is None:
                self._linking.apply_word(tx, current, GONE, author)
            else:
                self._linking.adopt(tx, identity, author)
