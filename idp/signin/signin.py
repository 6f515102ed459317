"""SignIn: everything the web layer needs of a sign-in, behind one door.

Owns the life of an Interaction (open, keep, load, restart, close once) and the acts that move it; each act returns a copy that knows more, and the
dispatcher says what comes next. Knows no HTTP and no protocol engine: the end of a sign-in is a Finish that the web layer hands to idp/oauth, or
writes through `finish_here` when a person signs in to our own page.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, PasswordHasher, digest
from idp.errors import Refused
from idp.signin.directories import AskStanding, Directories
from idp.signin.dispatch import Facts, Step, StepKind, decide_step
from idp.signin.facts import LoadClient, gather
from idp.signin.home_realm import hinted_establishment
from idp.signin.interaction import AuthorizationRequest, Finish, Interaction, Interactions
from idp.signin.linking import Linking
from idp.signin.login import Login, LoginPlace
from idp.signin.own_account import OwnAccount
from idp.signin.password_change import NewPassword, PasswordChange, PasswordRefused
from idp.signin.presence import Presences
from idp.signin.session import RESTARTABLE_FOR, spend_interaction, write_session
from idp.signin.throttle import LoginThrottle
from idp.store.base import Client, Ephemeral, Establishment, Session
from idp.store.database import Database, Transaction
from policies.passwords import BlockList
from policies.sessions import SessionLimits

MOST_RESTARTS = 20
OVER = "interaction.over"
LOOP_WINDOW = timedelta(seconds=60)
# Between the password and the end of the sign-in: a page left open on a shared workstation is not somebody else's way in.
PROOF_LIFE = timedelta(minutes=10)
LOOP_LIMIT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a page says around its step."""

    client_name: str | None
    establishment: Establishment | None


@dataclass(frozen=True, slots=True)
class Leftover:
    """What is known of an Interaction that is over: where its application lives, when it is a web one."""

    application_url: str | None


class SignIn:
    """The sign-in room. Safe between threads; build one per process.

    `load_client` answers a client that has not ended; the composition hands in the cached registry, without it the store is read each time.
    """

    def __init__(
        self,
        *,
        config: Config,
        clock: Clock,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        hasher: PasswordHasher,
        blocked: BlockList,
        directories: Directories,
        linking: Linking,
        ask_standing: AskStanding,
        load_client: LoadClient | None = None,
    ) -> None:
        self._clock = clock
        self._database = database
        self._ephemeral = ephemeral
        self._settings = config.sessions
        self._staleness_bound = config.standing.staleness_bound
        self._longest_silence = config.standing.staleness_bound + config.standing.grace
        self._ask_standing = ask_standing
        self._load_client = load_client or _stored_client
        self.limits = SessionLimits(config.sessions.idle, config.sessions.absolute, config.sessions.concurrent)
        self.interactions = Interactions(ephemeral, clock, config.sessions.interaction_life)
        self._beginnings = Interactions(ephemeral, clock, config.sessions.interaction_life + RESTARTABLE_FOR)
        self.throttle = LoginThrottle(ephemeral, keyring, clock=clock, settings=config.lockout)
        self._login = Login(
            database,
            hasher,
            directories=directories,
            linking=linking,
            throttle=self.throttle,
            keyring=keyring,
            clock=clock,
            allows_demo=config.is_loopback,
        )
        self.password_change = PasswordChange(
            database,
            hasher,
            directories=directories,
            linking=linking,
            throttle=self.throttle,
            clock=clock,
            blocked=blocked,
        )
        self.presences = Presences(database, clock, limits=self.limits)
        self.own_account = OwnAccount(database, clock, limits=self.limits)

    # The life of an Interaction

    def open(self, request: AuthorizationRequest | None, browser: str, *, return_to: str = "/account") -> Interaction:
        """A new Interaction, kept nowhere yet: ask `answer` about it first, and `keep` it when a page must be shown."""
        return self.interactions.open(request, browser, return_to=return_to)

    def keep(self, interaction: Interaction) -> Interaction:
        """Store a new Interaction, and how it began: a page left open overnight can then begin again by itself."""
        self.interactions.save(interaction)
        self._beginnings.save(replace(interaction, id=_beginning_of(interaction.id)))
        return interaction

    def load(self, interaction_id: str, browser: str, *, sign_outs: int) -> Interaction:
        """The Interaction. Refused(interaction_expired) or Refused(interaction_of_another_browser).

        `sign_outs` is how often somebody has signed out in this browser: a proof that waited half way on another page meanwhile opens nothing for
        whoever sits down next.
        """
        if self.leftover(interaction_id) is not None:
            # A form still in flight when another request ended the sign-in may have stored it again, with its proof.
            raise Refused(Reason.INTERACTION_EXPIRED, "it was ended")
        interaction = self.interactions.load(interaction_id, browser)
        proof = interaction.proof
        if proof is not None and (self._clock.now() - proof.auth_time > PROOF_LIFE or interaction.sign_outs != sign_outs):
            interaction = _unanswered(interaction)
        return replace(interaction, sign_outs=sign_outs)

    def restart(self, interaction_id: str, browser: str, *, origin: Origin) -> Interaction | None:
        """Begin an expired Interaction again from its request, kept under a new id; None when it is over or began too long ago.

        Taken away before the effect, so that two tabs do not make two; Event signin.restarted.
        """
        beginning_id = _beginning_of(interaction_id)
        try:
            beginning = self._beginnings.load(beginning_id, browser)
        except Refused:
            return None
        if beginning.restarts >= MOST_RESTARTS or not self._beginnings.close(beginning_id):
            return None
        fresh = replace(self.open(beginning.request, browser, return_to=beginning.return_to), restarts=beginning.restarts + 1)
        self.record(EventType.SIGNIN_RESTARTED, Reason.INTERACTION_EXPIRED, interaction=fresh, origin=origin)
        return self.keep(fresh)

    def close(self, interaction: Interaction) -> bool:
        """End it: True for exactly one of several callers, who may finish or refuse it. Leaves word of where its application lives."""
        # The word decides and not the taking away: a form in flight may store a taken Interaction again.
        leftover = json.dumps(application_url(interaction.request)).encode()
        if not self._ephemeral.add(OVER, digest(interaction.id), leftover, RESTARTABLE_FOR):
            return False
        self._beginnings.close(_beginning_of(interaction.id))
        return self.interactions.close(interaction.id)

    def reopen(self, interaction: Interaction) -> None:
        """Take a `close` back, because nothing came of it."""
        self._ephemeral.forget(OVER, digest(interaction.id))
        self.keep(interaction)

    def leftover(self, interaction_id: str) -> Leftover | None:
        """What is known of an Interaction that was finished, refused or cancelled; None when it never was."""
        stored = self._ephemeral.get(OVER, digest(interaction_id))
        return Leftover(json.loads(stored)) if stored else None

    def is_looping(self, browser: str, client_id: str) -> bool:
        """Count an authorization of a client in a browser: True when there were too many within a minute (R51).

        Call it once for each top-level navigation to /authorize. A sign-in with a proof starts the count again.
        """
        return self._ephemeral.count("authorizations", digest(f"{browser} {client_id}"), LOOP_WINDOW) > LOOP_LIMIT

    # What comes next

    def answer(self, interaction: Interaction, session: Session | None, origin: Origin) -> Step:
        """The next Step; one read transaction, nothing written. `session` is this browser's live one.

        A person whose directory has not spoken within the staleness bound is asked about first, and what it says is kept.
        """
        facts = self._gather(interaction, session)
        account = facts.account
        if account is None or facts.word_at is None or facts.now - facts.word_at <= self._staleness_bound:
            return decide_step(facts)
        self._ask_standing(account.id, origin)
        with self._database.read() as tx:
            current = tx.sessions.get(session.id) if session else None
        facts = self._gather(interaction, current if current and current.ended_at is None else None)
        step = decide_step(facts)
        is_degraded = facts.word_at is not None and facts.now - facts.word_at > self._staleness_bound
        return replace(step, finish=replace(step.finish, is_degraded=True)) if step.finish and is_degraded else step

    def _gather(self, interaction: Interaction, session: Session | None) -> Facts:
        with self._database.read() as tx:
            return gather(
                tx,
                interaction,
                session,
                now=self._clock.now(),
                limits=self.limits,
                load_client=self._load_client,
                longest_silence=self._longest_silence,
            )

    def surroundings(self, interaction: Interaction, session: Session | None, *, last_used_slug: str | None) -> Surroundings:
        """The names to show on a page of this Interaction."""
        with self._database.read() as tx:
            client = self._load_client(tx, interaction.request.client_id) if interaction.request else None
            place = hinted_establishment(tx, interaction, client, session=session, last_used_slug=last_used_slug)
        return Surroundings(client_name=client.settings.name if client else None, establishment=place)

    def establishment(self, slug: str) -> Establishment | None:
        """An open establishment by its slug."""
        with self._database.read() as tx:
            place = tx.establishments.by_slug(slug)
        return place if place and place.ended_at is None else None

    def logo(self, slug: str) -> tuple[bytes, str] | None:
        """An establishment's logo and its media type."""
        with self._database.read() as tx:
            return tx.establishments.logo(slug)

    # The acts

    def sign_in(
        self, interaction: Interaction, identifier: str, *, password: str, establishment_id: str | None, origin: Origin
    ) -> Interaction:
        """The password proof. Raises LoginRefused, StoreUnavailable."""
        client_id = interaction.request.client_id if interaction.request else None
        proof = self._login.prove(identifier, password, LoginPlace(client_id=client_id, establishment_id=establishment_id, origin=origin))
        # What another person in this browser answered on the same page is not this one's answer.
        return self._save(replace(_unanswered(interaction), proof=proof))

    def go_on_as_session(self, interaction: Interaction) -> Interaction:
        """prompt=select_account: "yes, it is me"."""
        return self._save(replace(interaction, selected_session=True))

    def sign_in_as_other(self, interaction: Interaction) -> Interaction:
        """prompt=select_account: "somebody else": from here on as if the client had asked for a login."""
        request = interaction.request
        if request is None:
            return interaction
        prompt = (request.prompt - {"select_account"}) | {"login"}
        return self._save(replace(interaction, request=replace(request, prompt=prompt)))

    def choose_establishment(self, interaction: Interaction, step: Step, slug: str) -> Interaction:
        """One of the choices of the Step; anything else leaves the question standing."""
        chosen = next((place for place in step.choices if place.slug == slug), None)
        return self._save(replace(interaction, establishment_id=chosen.id)) if chosen else interaction

    def change_password(self, interaction: Interaction, new: NewPassword, *, session: Session | None, origin: Origin) -> Interaction:
        """The forced change inside a sign-in. Raises PasswordRefused, StoreUnavailable; nothing to do without a proof that asks for it."""
        proof = interaction.proof
        if proof is None or not proof.must_change_password:
            return interaction
        keep = session if session and session.account_id == proof.account_id else None
        try:
            # A directory wants the present password again; ours was proven, and which one it was is known by when it was set.
            chosen = replace(new, current=None, proven_at=proof.credential_at) if proof.is_local else new
            changed_at = self.password_change.change(proof.account_id, chosen, connector=proof.connector, keep=keep, origin=origin)
        except PasswordRefused as refused:
            if refused.reason == Reason.CREDENTIAL_CHANGED:
                self._save(_unanswered(interaction))  # what was proven is worth nothing any more
            raise
        proof = replace(proof, must_change_password=False, auth_time=self._clock.now(), credential_at=changed_at)
        return self._save(replace(interaction, proof=proof))

    def close_earlier(self, interaction: Interaction, step: Step, session_id: str) -> Interaction:
        """Name the Session that will end when this sign-in finishes; one of the Step's, else the question stands."""
        if all(session.id != session_id for session in step.sessions):
            return interaction
        return self._save(replace(interaction, closing_session_id=session_id))

    def consent(self, interaction: Interaction) -> Interaction:
        """The person agreed; written with the Grant at the end."""
        return self._save(replace(interaction, consented=True))

    def finish_here(self, finish: Finish, origin: Origin) -> tuple[Session, str | None]:
        """The end of a sign-in to our own pages: the Session and a new cookie token. Refused when the account or Session was cut meanwhile."""
        with self._database.write() as tx:
            return write_session(tx, finish, clock=self._clock, settings=self._settings, origin=origin)

    def spend(self, interaction: Interaction) -> None:
        """Remember for good that it was refused or cancelled; `close` is only as lasting as the ephemeral store."""
        with self._database.write() as tx:
            spend_interaction(tx, digest(interaction.id), clock=self._clock)

    def forget_loop(self, browser: str, client_id: str) -> None:
        """A sign-in was finished with a proof: what came before was no loop."""
        self._ephemeral.forget("authorizations", digest(f"{browser} {client_id}"))

    # The trail

    def record_denial(self, interaction: Interaction, step: Step, origin: Origin) -> None:
        """The Event of a DENY page, once however often the page is loaded again."""
        if self._ephemeral.add("denied", digest(interaction.id), b"1", self._settings.interaction_life):
            self.record(EventType.SIGNIN_REFUSED, step.reason, interaction=interaction, origin=origin, step=step)

    def record_cancel(self, interaction: Interaction, step: Step, origin: Origin) -> None:
        """The Event of a person who gave up, or declined to share."""
        kind = EventType.CONSENT_REFUSED if step.kind is StepKind.CONSENT else EventType.SIGNIN_CANCELLED
        self.record(kind, Reason.CANCELLED_BY_PERSON, interaction=interaction, origin=origin, step=step)

    def record(
        self,
        kind: EventType,
        reason: Reason | None,
        *,
        origin: Origin,
        interaction: Interaction | None = None,
        step: Step | None = None,
        details: Mapping[str, str | int | bool | None] | None = None,
    ) -> None:
        """One Event of this room in a transaction of its own."""
        account = step.account if step else None
        proof = interaction.proof if interaction else None
        event = Event(
            type=kind,
            at=self._clock.now(),
            actor=f"account:{account.id}" if account else "anonymous",
            origin=origin,
            reason=reason,
            account_id=account.id if account else None,
            client_id=interaction.request.client_id if interaction and interaction.request else None,
            connector=proof.connector if proof else None,
            amr=proof.amr if proof else (),
            acr=proof.acr if proof else None,
            details=details or ({"step": str(step.kind)} if step else {}),
        )
        with self._database.write() as tx:
            tx.events.append(event)

    def _save(self, interaction: Interaction) -> Interaction:
        self.interactions.save(interaction)
        return interaction


def _stored_client(tx: Transaction, client_id: str) -> Client | None:
    client = tx.clients.get(client_id)
    return client if client and client.ended_at is None else None


def _unanswered(interaction: Interaction) -> Interaction:
    """The same request with nothing said yet."""
    return replace(interaction, proof=None, selected_session=False, establishment_id=None, consented=False, closing_session_id=None)


def _beginning_of(interaction_id: str) -> str:
    return f"beginning {interaction_id}"


def application_url(request: AuthorizationRequest | None) -> str | None:
    """The front page of a web application, from its validated redirect URI; our account page when nobody else asked."""
    if request is None:
        return "/account"
    parts = urlsplit(request.redirect_uri)
    return f"{parts.scheme}://{parts.netloc}/" if parts.scheme in {"http", "https"} else None
