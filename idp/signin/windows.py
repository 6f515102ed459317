"""The Windows session as a proof: when it may be asked for, and whose Account a Kerberos ticket signs in.

Owns where silence is allowed (a ticket says who opened the computer, not who wants to sign in now), one look at the directory for each ticket, the
words that follow from it, and the Event of each refusal. The ticket is verified by connectors/kerberos, the person written by linking.py. A ticket is
one factor, as old as the password or the card that it was got with. Knows no web. Sources: RFC 4559, OpenID Connect Core 1.0 section 3.1.2.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from connectors.base import Directory, Identity, NegotiateConnector, SourceMisbehaved, SourceUnreachable, State, Ticket, TicketRefused
from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, digest
from idp.errors import Refused, StoreUnavailable
from idp.signin.directories import REASON_OF_STATE, Directories
from idp.signin.ground import Visitor
from idp.signin.interaction import Interaction, Proof
from idp.signin.linking import CONFLICT, Adopted, Linking, NotKept, open_establishments
from idp.signin.local import normalise_identifier
from idp.signin.step import Step, StepKind
from idp.signin.succession import succeed
from idp.signin.whereabouts import Locator
from idp.store.base import Account, Ephemeral, Session
from idp.store.database import Database
from policies.assurance import Given, Method, assess
from policies.lifecycle import lets_stay
from policies.sessions import needs_fresh_authentication

SHOWN, FAILURES = "windows.shown", "windows.failures"
SHOWN_LIFE = timedelta(minutes=15)  # a token is good for the five minutes that clocks may differ by, to either side
MOST_FAILURES = 60  # from one address within FAILURES_WINDOW: computers set up wrongly are given the form and nothing else
FAILURES_WINDOW = timedelta(minutes=5)
NOT_SILENT = frozenset({"login", "select_account"})
ORDINARY = frozenset({Reason.WINDOWS_GENERIC_ACCOUNT, Reason.WINDOWS_TOO_OLD, Reason.WINDOWS_ANOTHER_PERSON})  # nothing has failed
NOT_LET_IN = (Reason.ACCOUNT_NOT_ACTIVE, Reason.NOTHING_GRANTS, Reason.UNLINKED)  # people are told why, as far as they may read
METHOD = "windows"

log = structlog.get_logger(__name__)


class WindowsRefused(Refused):
    """A Windows session signs nobody in here; the Event is written. `told`: why the directory refuses the person, as they may read.

    `is_unreachable`: nothing was wrong but that it could not be known. `is_plain`: the form is shown without a word, for nothing has failed.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.told = reason if reason in {*REASON_OF_STATE.values(), *NOT_LET_IN} else None
        self.is_unreachable = reason in {Reason.DIRECTORY_UNREACHABLE, Reason.DIRECTORY_MISBEHAVED, Reason.WINDOWS_UNAVAILABLE}
        self.is_plain = reason in {Reason.WINDOWS_TOO_OLD, Reason.WINDOWS_ANOTHER_PERSON}

    @property
    def is_shared(self) -> bool:
        """Whether the Windows session is several people's."""
        return self.reason == Reason.WINDOWS_GENERIC_ACCOUNT


@dataclass(frozen=True, slots=True)
class TicketRealm:
    """One realm of the configuration: who verifies its tickets, the directory its people are in, the accounts that several people share."""

    acceptor: NegotiateConnector
    directory: str
    generic_accounts: tuple[str, ...] = ()

    def is_generic(self, user: str) -> bool:
        """Whether several people work in that account's Windows session; Windows tells no capitals apart."""
        folded = user.casefold()
        return any(
            folded.startswith(pattern[:-1].casefold()) if pattern.endswith("*") else folded == pattern.casefold()
            for pattern in self.generic_accounts
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """Who a ticket signs in, and what to answer the browser (RFC 4559 section 5)."""

    proof: Proof
    answer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a sign-in wants of whoever it is: `max_age_seconds` as the request or the client says."""

    interaction: Interaction
    visitor: Visitor
    max_age_seconds: int | None = None

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return self.visitor.origin


class Windows:
    """Signs people in with their Windows session. Safe between threads; build one per process."""

    def __init__(
        self,
        realms: Mapping[str, TicketRealm],
        *,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        directories: Directories,
        linking: Linking,
        locator: Locator,
        clock: Clock,
    ) -> None:
        self._realms = tuple(realms.values())
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._directories = directories
        self._linking = linking
        self._locator = locator
        self._clock = clock

    def close(self) -> None:
        """Let go of the acceptors."""
        for realm in self._realms:
            realm.acceptor.close()

    def is_offered(self, asked: Asked, step: Step, session: Session | None, *, must_act: bool) -> bool:
        """Whether the browser may be asked for a ticket. `session` is this browser's live one; `must_act`: whoever is here must show it by hand.

        Only where the Step is a first sign-in that nobody has asked to be made by hand, and from computers that the zone says have Windows sessions.
        """
        if not self._realms or must_act or session is not None or step.kind is not StepKind.LOGIN or not _may_be_silent(asked.interaction):
            return False
        return self._is_at_its_place(asked.visitor) and self._ephemeral.peek(FAILURES, asked.origin.address) <= MOST_FAILURES

    def prove(self, token: bytes, asked: Asked) -> Accepted:
        """Who a browser's token signs in. Raises WindowsRefused, StoreUnavailable.

        As a password does, a success writes no Event of its own: the end of the sign-in, or its refusal, does.
        """
        realm, ticket = self._accept(token, asked)
        user = ticket.principal.rpartition("@")[0]
        if not self._ephemeral.add(SHOWN, digest(ticket.handle), b"1", SHOWN_LIFE):
            # The library's own memory of them is this machine's alone.
            raise self._refused(Reason.WINDOWS_REPLAYED, asked, realm, ticket=ticket)
        if realm.is_generic(user):
            raise self._refused(Reason.WINDOWS_GENERIC_ACCOUNT, asked, realm, ticket=ticket)
        shown_at = min(ticket.authenticated_at or self._clock.now(), self._clock.now())
        if needs_fresh_authentication(shown_at, asked.max_age_seconds, self._clock.now()):
            raise self._refused(Reason.WINDOWS_TOO_OLD, asked, realm, ticket=ticket)
        directory = self._directories.get(realm.directory)
        if directory is None:
            raise self._refused(Reason.DIRECTORY_MISBEHAVED, asked, realm, ticket=ticket)
        identity, is_meant = self._ask(directory, ticket, asked, realm)
        if any(realm.is_generic(name) for name in (identity.username, *identity.logins) if name):
            # The session was opened by another of the account's names.
            raise self._refused(Reason.WINDOWS_GENERIC_ACCOUNT, asked, realm, ticket=ticket)
        try:
            adopted = self._adopt(identity, asked.origin)
        except NotKept as unknown:
            raise self._refused(Reason(unknown.reason), asked, realm, ticket=ticket) from unknown
        account = adopted.account
        if not account.is_active:
            raise self._refused(Reason.ACCOUNT_NOT_ACTIVE, asked, realm, ticket=ticket, account=account)
        if adopted.password_changed_at is not None and adopted.password_changed_at > shown_at:
            # Whoever got the ticket had the former password: they need not be who changed it.
            raise self._refused(Reason.WINDOWS_TOO_OLD, asked, realm, ticket=ticket, account=account)
        request = asked.interaction.request
        if not is_meant or (request is not None and request.hinted_account_id not in {None, account.id}):
            raise self._refused(Reason.WINDOWS_ANOTHER_PERSON, asked, realm, ticket=ticket, account=account)
        return Accepted(self._proof(adopted, identity, shown_at), ticket.answer)

    def _accept(self, token: bytes, asked: Asked) -> tuple[TicketRealm, Ticket]:
        """The first realm whose keys are those that the ticket is for."""
        for realm in self._realms:
            try:
                return realm, realm.acceptor.accept(token)
            except TicketRefused as error:
                if error.problem != "other_service" or realm is self._realms[-1]:
                    raise self._refused(Reason(f"windows_{error.problem}"), asked, realm, detail=error.detail) from error
            except (SourceUnreachable, SourceMisbehaved) as error:
                if realm is self._realms[-1]:
                    raise self._refused(Reason.WINDOWS_UNAVAILABLE, asked, realm, detail=error.detail) from error
                log.error("windows_unavailable", connector=realm.directory, detail=error.detail)
        raise LookupError("no realm is configured")

    def _ask(self, directory: Directory, ticket: Ticket, asked: Asked, realm: TicketRealm) -> tuple[Identity, bool]:
        """Who holds the ticket as the directory has them now, who may come in; and whether they are who the application expects (login_hint)."""
        try:
            identity = directory.holder_of(ticket)
            if identity is None:
                raise self._refused(Reason.WINDOWS_NOBODY, asked, realm, ticket=ticket)
            reason = REASON_OF_STATE.get(identity.state)
            if reason is not None:
                raise self._refused(reason, asked, realm, ticket=ticket, account=self._keep_word(identity, asked.origin))
            return identity, self._is_expected(directory, identity, asked.interaction)
        except TicketRefused as error:
            raise self._refused(Reason(f"windows_{error.problem}"), asked, realm, ticket=ticket, detail=error.detail) from error
        except SourceUnreachable as error:
            raise self._refused(
                Reason.DIRECTORY_UNREACHABLE, asked, realm, ticket=ticket, detail=error.detail, trouble=error.trouble
            ) from error
        except SourceMisbehaved as error:
            raise self._refused(Reason.DIRECTORY_MISBEHAVED, asked, realm, ticket=ticket, detail=error.detail) from error

    def _is_expected(self, directory: Directory, identity: Identity, interaction: Interaction) -> bool:
        """Whether an application that has named somebody has named this one: else they may type a password, and the field holds the name."""
        hint = interaction.request.login_hint if interaction.request else None
        if not hint:
            return True
        known = {normalise_identifier(name) for name in (identity.username, identity.email, identity.number) if name}
        if normalise_identifier(hint) in known:
            return True
        named = directory.look_up(hint)
        return named is not None and named.subject == identity.subject

    def _keep_word(self, identity: Identity, origin: Origin) -> Account | None:
        """The directory has just said that somebody is disabled, expired or out of scope: it is known of all their Sessions from now on.

        A lock is no such word, as with a password (login.py).
        """
        with self._database.write() as tx:
            link = tx.links.get(identity.connector, identity.subject)
            if link is None:
                return None
            if lets_stay(identity.state):
                return tx.people.get(link.account_id)
            return self._linking.apply_word(tx, link, str(identity.state), Author(f"connector:{identity.connector}", origin)).account

    def _adopt(self, identity: Identity, origin: Origin) -> Adopted:
        author = Author(f"connector:{identity.connector}", origin)
        with self._database.read() as tx:
            establishments = open_establishments(tx)
        try:
            with self._database.write() as tx:
                adopted = self._linking.adopt(tx, identity, author, is_signing_in=True, establishments=establishments)
        except StoreUnavailable as error:
            if error.reason != CONFLICT:
                raise
            # Two first sign-ins of one person at the same instant: the other has written the Link by now.
            with self._database.write() as tx:
                adopted = self._linking.adopt(tx, identity, author, is_signing_in=True, establishments=establishments)
        return succeed(adopted, identity, author, database=self._database, directories=self._directories, linking=self._linking)

    def _proof(self, adopted: Adopted, identity: Identity, shown_at: datetime) -> Proof:
        now = self._clock.now()
        assurance = assess([Given(Method.WINDOWS, now)], approved_windows=False)
        return Proof(
            account_id=adopted.account.id,
            auth_time=shown_at,
            arrived_at=now,
            amr=assurance.amr,
            acr=assurance.acr,
            connector=identity.connector,
            method=Method.WINDOWS,
            must_change_password=identity.state is State.MUST_CHANGE,
            credential_at=adopted.password_changed_at,
        )

    def _is_at_its_place(self, visitor: Visitor) -> bool:
        with self._database.read() as tx:
            zone = self._locator.zone_of(tx, visitor.origin)
        if zone is None or not zone.has_windows or visitor.is_on_shared:
            return False
        # A public address is everybody's who leaves by it: guests' computers would be asked too, and answer with a window that asks for a password.
        return not zone.is_egress or zone.guests_apart or (visitor.workstation is not None and visitor.workstation.zone_id == zone.id)

    def _refused(
        self,
        reason: Reason,
        asked: Asked,
        realm: TicketRealm,
        *,
        ticket: Ticket | None = None,
        account: Account | None = None,
        detail: str = "",
        trouble: str | None = None,
    ) -> WindowsRefused:
        """The refusal to raise; it is counted, and its Event is written."""
        if reason not in ORDINARY:
            self._ephemeral.count(FAILURES, asked.origin.address, FAILURES_WINDOW)
        identifier_hash = self._keyring.keyed_hash("identifier", ticket.principal) if ticket else None
        log.warning(
            "windows_refused",
            reason=str(reason),
            connector=realm.directory,
            identifier_hash=identifier_hash,
            detail=detail,
            request_id=asked.origin.request_id,
        )
        request = asked.interaction.request
        event = Event(
            type=EventType.SIGNIN_REFUSED,
            at=self._clock.now(),
            actor="anonymous",
            origin=asked.origin,
            reason=reason,
            account_id=account.id if account else None,
            identifier_hash=identifier_hash if account is None else None,
            client_id=request.client_id if request else None,
            connector=realm.directory,
            details={"method": METHOD, **({"trouble": trouble} if trouble else {})},
        )
        with self._database.write() as tx:
            tx.events.append(event)
        return WindowsRefused(reason)


def _may_be_silent(interaction: Interaction) -> bool:
    """Whether nothing in the sign-in itself wants somebody to act: neither the application, nor our pages, nor what was begun on the page."""
    request = interaction.request
    if interaction.proof is not None or interaction.step_up is not None or interaction.ticket_refused:
        return False
    if interaction.pending_link is not None or interaction.upstream is not None:
        # Whoever arrived by a provider is linked to whoever proves it: the computer's owner is not asked, and need not be the same person.
        return False
    return request is None or not (request.prompt & NOT_SILENT or request.is_silent or request.idp_hint or request.domain_hint)


def windows_realms(config: Config, acceptors: Mapping[str, NegotiateConnector]) -> dict[str, TicketRealm]:
    """The realms of a configuration, in its order, with who verifies their tickets."""
    return {
        settings.realm: TicketRealm(acceptors[settings.realm], settings.directory, settings.generic_accounts) for settings in config.windows
    }
