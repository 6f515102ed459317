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
from idp.signin.bind_gate import BindGates
from idp.signin.ceremony import Tie
from idp.signin.devices import OwnDevices
from idp.signin.directories import AskStanding, Directories
from idp.signin.dispatch import decide_step
from idp.signin.factor import FactorProof, FactorRefused
from idp.signin.facts import Facts, LoadClient, Terms, gather
from idp.signin.ground import Survey, Visitor, survey_of
from idp.signin.home_realm import hinted_establishment
from idp.signin.interaction import AuthorizationRequest, Finish, Interaction, Interactions, Proof
from idp.signin.linking import Linking
from idp.signin.login import Login, LoginPlace
from idp.signin.one_time_codes import KINDS
from idp.signin.own_account import OwnAccount
from idp.signin.passkeys import Passkeys
from idp.signin.password_change import NewPassword, PasswordChange, PasswordRefused
from idp.signin.presence import Presences
from idp.signin.second_factors import SecondFactors
from idp.signin.sent_codes import SentCodes
from idp.signin.session import RESTARTABLE_FOR, Written, spend_interaction, write_session
from idp.signin.spray_watch import SprayWatch
from idp.signin.step import Step, StepKind
from idp.signin.throttle import LoginThrottle
from idp.signin.whereabouts import Locator, told
from idp.store.base import Client, Ephemeral, Establishment, Factor, Session
from idp.store.database import Database, Transaction
from policies.passwords import BlockList

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
        locator: Locator,
        second_factors: SecondFactors,
        passkeys: Passkeys,
        sent_codes: SentCodes,
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
        self._locator = locator
        self.limits = config.sessions.limits
        self.interactions = Interactions(ephemeral, clock, config.sessions.interaction_life)
        self._beginnings = Interactions(ephemeral, clock, config.sessions.interaction_life + RESTARTABLE_FOR)
        self.throttle = LoginThrottle(
            database, ephemeral, keyring, clock=clock, settings=config.lockout, has_directories=len(directories) > 0
        )
        gates = BindGates(self.throttle, ephemeral, clock, settings=config.lockout)
        self._login = Login(
            database,
            hasher,
            directories=directories,
            linking=linking,
            throttle=self.throttle,
            gates=gates,
            watch=SprayWatch(ephemeral, keyring, clock, settings=config.lockout),
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
            gates=gates,
            clock=clock,
            blocked=blocked,
            tell=sent_codes.messenger.tell,
        )
        self.presences = Presences(database, clock, limits=self.limits)
        self.own_account = OwnAccount(database, clock, limits=self.limits)
        self.own_devices = OwnDevices(database, clock)
        self.second_factors = second_factors
        self.passkeys = passkeys
        self.sent_codes = sent_codes
        self.own_factors = second_factors.own
        self.offered_factors = tuple(
            kind
            for kind in config.factors.offered
            if (kind != "passkey" or passkeys.is_offered) and (kind not in KINDS or sent_codes.codes.is_set(kind))
        )
        self._terms = Terms(config.policy.rule_set, offered=frozenset(self.offered_factors), recent=config.factors.recent)

    # The life of an Interaction

    def open(
        self, request: AuthorizationRequest | None, browser: str, *, return_to: str = "/account", step_up: str | None = None
    ) -> Interaction:
        """A new Interaction, kept nowhere yet: ask `answer` about it first, and `keep` it when a page must be shown."""
        return self.interactions.open(request, browser, return_to=return_to, step_up=step_up)

    def keep(self, interaction: Interaction) -> Interaction:
        """Store a new Interaction, and how it began: a page left open overnight can then begin again by itself."""
        self.interactions.save(interaction)
        self._beginnings.save(replace(interaction, id=_beginning_of(interaction.id)))
        return interaction

    def load(self, interaction_id: str, browser: str, *, sign_outs: int) -> Interaction:
        """The Interaction. Refused(interaction_expired) or Refused(interaction_of_another_browser).

        `sign_outs` is how often somebody has signed out in this browser: a proof, or an answer, that waited half way on another page meanwhile
        opens and says nothing for whoever sits down next.
        """
        if self.leftover(interaction_id) is not None:
            # A form still in flight when another request ended the sign-in may have stored it again, with its proof.
            raise Refused(Reason.INTERACTION_EXPIRED, "it was ended")
        interaction = self.interactions.load(interaction_id, browser)
        given = [factor.at for factor in interaction.factors] + ([interaction.proof.auth_time] if interaction.proof else [])
        if interaction.sign_outs != sign_outs or (given and self._clock.now() - min(given) > PROOF_LIFE):
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
        fresh = self.open(beginning.request, browser, return_to=beginning.return_to, step_up=beginning.step_up)
        fresh = replace(fresh, restarts=beginning.restarts + 1)
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

    def answer(self, interaction: Interaction, session: Session | None, visitor: Visitor) -> Step:
        """The next Step; one read transaction, nothing written. `session` is this browser's live one.

        A person whose directory has not spoken within the staleness bound is asked about first, and what it says is kept.
        """
        survey = survey_of(self._locator, visitor)
        facts = self._gather(interaction, session, survey)
        account = facts.account
        if account is None or not facts.is_degraded:
            return decide_step(facts)
        self._ask_standing(account.id, visitor.origin)
        with self._database.read() as tx:
            current = tx.sessions.get(session.id) if session else None
        return decide_step(self._gather(interaction, current if current and current.ended_at is None else None, survey))

    def _gather(self, interaction: Interaction, session: Session | None, survey: Survey) -> Facts:
        with self._database.read() as tx:
            return gather(
                tx,
                interaction,
                session,
                now=self._clock.now(),
                limits=self.limits,
                terms=self._terms,
                load_client=self._load_client,
                survey=survey,
                longest_silence=self._longest_silence,
                staleness_bound=self._staleness_bound,
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
        self, interaction: Interaction, identifier: str, *, password: str, establishment_id: str | None, visitor: Visitor
    ) -> Interaction:
        """The password proof. Raises LoginRefused, StoreUnavailable."""
        client_id = interaction.request.client_id if interaction.request else None
        proof = self._login.prove(identifier, password, LoginPlace(client_id=client_id, establishment_id=establishment_id, visitor=visitor))
        return self._proven(interaction, proof)

    def sign_in_with_passkey(self, interaction: Interaction, response: str, tie: Tie, *, origin: Origin) -> Interaction:
        """The proof of a passkey and nothing else, which is two factors at once. Raises FactorRefused, StoreUnavailable."""
        client_id = interaction.request.client_id if interaction.request else None
        return self._proven(interaction, self.passkeys.sign_in(response, tie, client_id=client_id, origin=origin))

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

    def go_on(self, interaction: Interaction, *, sign_outs: int) -> Interaction:
        """What was proven stays, although somebody else's Session was ended for it in this browser."""
        return self._save(replace(interaction, sign_outs=sign_outs))

    def begin_anew(self, interaction: Interaction) -> Interaction:
        """The same request for another person: nothing that was answered counts."""
        return self._save(_unanswered(interaction))

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

    def factor(self, account_id: str, factor_id: str | None) -> Factor:
        """One of a person's own. Raises FactorRefused when it is there no more."""
        with self._database.read() as tx:
            found = tx.factors.get(factor_id) if factor_id else None
        if found is None or found.account_id != account_id or found.ended_at is not None:
            raise FactorRefused(Reason.NO_SUCH_FACTOR)
        return found

    def prove_more(self, interaction: Interaction, proof: FactorProof, *, remembers_device: bool) -> Interaction:
        """A second proof of the person of the Step was given."""
        kept = tuple(given for given in interaction.factors if given.account_id == proof.account_id)
        remembers = interaction.remembers_device or remembers_device
        return self._save(replace(interaction, factors=(*kept, proof), factor_kind=None, remembers_device=remembers))

    def choose_kind(self, interaction: Interaction, kind: str) -> Interaction:
        """Another of the second proofs that would do, or another kind to add."""
        return self._save(replace(interaction, factor_kind=kind[:36]))

    def show_pass(self, interaction: Interaction, pass_digest: str) -> Interaction:
        """A pass to add a first factor was checked; it is used up with the addition."""
        return self._save(replace(interaction, pass_digest=pass_digest))

    def decline(self, interaction: Interaction) -> Interaction:
        """The person goes on without what the client would have liked."""
        return self._save(replace(interaction, declined=True, factor_kind=None))

    def consent(self, interaction: Interaction) -> Interaction:
        """The person agreed; written with the Grant at the end."""
        return self._save(replace(interaction, consented=True))

    def finish_here(self, finish: Finish, origin: Origin) -> Written:
        """The end of a sign-in to our own pages. Refused when the account or Session was cut meanwhile."""
        with self._database.write() as tx:
            tell = self.sent_codes.messenger.tell
            return write_session(tx, finish, clock=self._clock, settings=self._settings, origin=origin, tell=tell)

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
            origin=told(origin, step.whereabouts) if step and step.whereabouts else origin,
            reason=reason,
            account_id=account.id if account else None,
            client_id=interaction.request.client_id if interaction and interaction.request else None,
            establishment_id=step.establishment.id if step and step.establishment else None,
            connector=proof.connector if proof else None,
            amr=proof.amr if proof else (),
            acr=proof.acr if proof else None,
            decision=step.decision if step else None,
            details=details or ({"step": str(step.kind)} if step else {}),
        )
        with self._database.write() as tx:
            tx.events.append(event)

    def _proven(self, interaction: Interaction, proof: Proof) -> Interaction:
        # What another person in this browser answered on the same page is not this one's answer.
        return self._save(replace(_unanswered(interaction), proof=proof))

    def _save(self, interaction: Interaction) -> Interaction:
        self.interactions.save(interaction)
        return interaction


def _stored_client(tx: Transaction, client_id: str) -> Client | None:
    client = tx.clients.get(client_id)
    return client if client and client.ended_at is None else None


def _unanswered(interaction: Interaction) -> Interaction:
    """The same request with nothing said yet."""
    return replace(
        interaction,
        proof=None,
        factors=(),
        factor_kind=None,
        remembers_device=False,
        pass_digest=None,
        declined=False,
        selected_session=False,
        establishment_id=None,
        consented=False,
        closing_session_id=None,
    )


def _beginning_of(interaction_id: str) -> str:
    return f"beginning {interaction_id}"


def application_url(request: AuthorizationRequest | None) -> str | None:
    """The front page of a web application, from its validated redirect URI; our account page when nobody else asked."""
    if request is None:
        return "/account"
    parts = urlsplit(request.redirect_uri)
    return f"{parts.scheme}://{parts.netloc}/" if parts.scheme in {"http", "https"} else None
