"""What an upstream provider says of a person while they are not there: asked with the refresh token of their last sign-in, one caller at a time.

Owns the refresh token's life after the sign-in: sealed in the Link, replaced when the provider rotates it, removed when the provider wants to see the
person again, and with it the Sessions that came by that provider. Called by standing.py, whose rules on silence hold here too.
OpenID Connect Core 1.0 section 12, RFC 9700 section 4.14 (rotation: a token that is used twice may end all of them).
"""

import threading
from datetime import datetime, timedelta

import structlog

from connectors.base import Lapsed, PersonNotUsable, Renewal, SourceMisbehaved, SourceUnreachable
from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, digest
from idp.endings import Cause, end_connector_access
from idp.errors import VestibuleError
from idp.signin.linking import Linking
from idp.signin.providers import Providers
from idp.signin.refresh_seal import open_refresh_token, seal_refresh_token
from idp.store.base import Ephemeral, Link
from idp.store.database import Database, Transaction

ASKING = "upstream.asking"
# A provider answers within seconds or not at all; whoever asks and dies keeps the others away no longer than this.
ASKING_LIFE = timedelta(seconds=60)
STRIPES = 64

log = structlog.get_logger(__name__)


class UpstreamStanding:
    """Asks providers about people who are not there. Safe between threads and processes."""

    def __init__(
        self, database: Database, ephemeral: Ephemeral, keyring: Keyring, *, providers: Providers, linking: Linking, clock: Clock
    ) -> None:
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._providers = providers
        self._linking = linking
        self._clock = clock
        self._turns = tuple(threading.Lock() for _ in range(STRIPES))

    def ask(self, link: Link, origin: Origin, *, before: datetime) -> None:
        """Ask about one person, unless somebody did since `before`. Raises StoreUnavailable.

        Within this process the second waits for the first's answer; of two processes, the second goes on with the last word as if the provider
        had not answered: a refresh token that is sent twice may be taken for a stolen one.
        """
        key = digest(f"{link.connector}/{link.subject}")
        with self._turns[hash(key) % STRIPES]:
            if not self._ephemeral.add(ASKING, key, b"1", ASKING_LIFE):
                return
            try:
                self._ask_alone(link, origin, before=before)
            finally:
                self._ephemeral.forget(ASKING, key)

    def _ask_alone(self, link: Link, origin: Origin, *, before: datetime) -> None:
        with self._database.read() as tx:
            current = tx.links.get(link.connector, link.subject)
        if current is None or not current.is_askable or current.word_at >= before:
            return
        author = Author(f"connector:{link.connector}", origin)
        provider = self._providers.get(link.connector)
        if provider is None:
            # Nobody will ever be asked again: what came by it ends, and who comes another way need not wait for an answer.
            log.error("provider_not_configured", connector=link.connector, request_id=origin.request_id)
            self._lapse(current, author)
            return
        asked_at = self._clock.now()
        try:
            renewal = provider.connector.renew(current.subject, open_refresh_token(self._keyring, current))
        except VestibuleError as broken:
            log.error("refresh_token_unreadable", connector=link.connector, detail=broken.detail, request_id=origin.request_id)
            self._lapse(current, author)
        except Lapsed as lapsed:
            log.info("upstream_lapsed", connector=link.connector, detail=lapsed.detail, request_id=origin.request_id)
            self._lapse(current, author)
        except PersonNotUsable as refused:
            log.info("upstream_refused_person", connector=link.connector, state=str(refused.state), request_id=origin.request_id)
            self._keep_word(current, str(refused.state), asked_at, author=author)
        except SourceUnreachable as away:
            log.warning(
                "upstream_unreachable", connector=link.connector, trouble=away.trouble, detail=away.detail, request_id=origin.request_id
            )
        except SourceMisbehaved as wrong:
            log.error("upstream_misbehaved", connector=link.connector, detail=wrong.detail, request_id=origin.request_id)
        else:
            self._keep(current, renewal, author)

    def _keep(self, link: Link, renewal: Renewal, author: Author) -> None:
        with self._database.write() as tx:
            current = self._held(tx, link)
            if current is None:
                return
            if renewal.refresh_token is not None and current.refresh_seal == link.refresh_seal:
                # Unless the person has signed in there meanwhile, which gave another one.
                seal = seal_refresh_token(self._keyring, renewal.refresh_token, connector=link.connector, subject=link.subject)
                tx.links.change(link.connector, link.subject, refresh_seal=seal)
            self._linking.adopt(tx, renewal.identity, author)

    def _keep_word(self, link: Link, word: str, asked_at: datetime, *, author: Author) -> None:
        with self._database.write() as tx:
            current = self._held(tx, link)
            if current is not None and current.word_at <= asked_at:
                self._linking.apply_word(tx, current, word, author)

    def _lapse(self, link: Link, author: Author) -> None:
        """The provider wants to see the person: nobody says who they are until then, and what came by it ends. Their Account stays as it is."""
        with self._database.write() as tx:
            current = self._held(tx, link)
            if current is None or current.refresh_seal != link.refresh_seal:
                return  # they have been there since
            tx.links.change(link.connector, link.subject, refresh_seal=None)
            cause = Cause(Reason.UPSTREAM_LAPSED, author.actor, author.origin)
            ended = end_connector_access(tx, link.account_id, link.connector, cause=cause, clock=self._clock)
            tx.events.append(
                Event(
                    type=EventType.UPSTREAM_REFUSED,
                    at=self._clock.now(),
                    actor=author.actor,
                    origin=author.origin,
                    reason=Reason.UPSTREAM_LAPSED,
                    account_id=link.account_id,
                    connector=link.connector,
                    details={"purpose": "standing", **ended.counts},
                )
            )

    def _held(self, tx: Transaction, link: Link) -> Link | None:
        """The Link as it is now, its Account held; None when it was unlinked, or is another's, since it was looked at."""
        tx.people.hold(link.account_id)
        current = tx.links.get(link.connector, link.subject)
        return current if current is not None and current.ended_at is None and current.account_id == link.account_id else None
