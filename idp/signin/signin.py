"""SignIn: everything the web layer needs of a sign-in, behind one door.

Owns the life of an Interaction (open, keep, load, restart, close once) and the proofs that move it; each act returns a copy that knows more, and the
dispatcher says what comes next. Has rooms for the rest: what a person says (answers.py), the way to a provider and back (departures.py), what is
written of a sign-in that ends otherwise (trail.py), and the factors. Knows no HTTP and no protocol engine: the end of a sign-in is a Finish that the
web layer hands to idp/oauth, or writes through `finish_here` when a person signs in to our own page.
"""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urlsplit

from idp.audit import EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, PasswordHasher, digest
from idp.errors import Refused
from idp.signin.answers import Answers, unanswered
from idp.signin.bind_gate import BindGates
from idp.signin.ceremony import Tie
from idp.signin.departures import Departures
from idp.signin.devices import OwnDevices
from idp.signin.directories import AskStanding, Directories
from idp.signin.dispatch import decide_step, max_age_seconds
from idp.signin.factor import FactorRefused
from idp.signin.facts import Facts, LoadClient, Terms, gather
from idp.signin.ground import Survey, Visitor, survey_of
from idp.signin.home_realm import Bystander, Realm, hinted_establishment, realm_of
from idp.signin.interaction import AuthorizationRequest, Finish, Interaction, Interactions, Proof
from idp.signin.linking import Linking
from idp.signin.links import obstacle
from idp.signin.login import Login, LoginPlace
from idp.signin.one_time_codes import KINDS
from idp.signin.own_account import OwnAccount
from idp.signin.own_history import OwnHistory
from idp.signin.own_links import OwnLinks
from idp.signin.passkeys import Passkeys
from idp.signin.password_change import NewPassword, PasswordChange, PasswordRefused
from idp.signin.presence import Presences
from idp.signin.second_factors import SecondFactors
from idp.signin.sent_codes import SentCodes
from idp.signin.session import RESTARTABLE_FOR, Written, spend_interaction, write_session
from idp.signin.spray_watch import SprayWatch
from idp.signin.step import Step
from idp.signin.throttle import LoginThrottle
from idp.signin.trail import SignInTrail
from idp.signin.upstream import Upstreams
from idp.signin.whereabouts import Locator
from idp.signin.windows import Asked, Windows, WindowsRefused
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
        upstreams: Upstreams,
        windows: Windows,
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
        self.answers = Answers(self.interactions)
        self.trail = SignInTrail(database, ephemeral, clock, interaction_life=config.sessions.interaction_life)
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
            max_age=config.passwords.max_age,
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
        self.own_history = OwnHistory(database, clock, tell=sent_codes.messenger.tell)
        self.own_links = OwnLinks(
            database, clock, providers=upstreams.providers, recent=config.factors.recent, tell=sent_codes.messenger.tell
        )
        self.second_factors = second_factors
        self.passkeys = passkeys
        self.sent_codes = sent_codes
        self.upstreams = upstreams
        self.departures = Departures(upstreams, self.interactions)
        self.windows = windows
        self.own_factors = second_factors.own
        self.offered_factors = tuple(
            kind
            for kind in config.factors.offered
            if (kind != "passkey" or passkeys.is_offered) and (kind not in KINDS or sent_codes.codes.is_set(kind))
        )
        self._terms = Terms(
            config.policy.rule_set,
            offered=frozenset(self.offered_factors),
            recent=config.factors.recent,
            mfa_providers=upstreams.providers.with_mfa(),
            providers=frozenset(provider.name for provider in upstreams.providers),
            directories=frozenset(directory.name for directory in (*config.directories, *config.scim)),
            upstream_life=config.standing.upstream_life,
        )

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
        given = [factor.at for factor in interaction.factors] + ([interaction.proof.reached_us_at] if interaction.proof else [])
        if interaction.sign_outs != sign_outs or (given and self._clock.now() - min(given) > PROOF_LIFE):
            interaction = unanswered(interaction)
        pending = interaction.pending_link
        if pending is not None and (interaction.sign_outs != sign_outs or self._clock.now() - pending.arrived_at > PROOF_LIFE):
            # Whoever came by a provider has gone again, or may have.
            interaction = replace(interaction, pending_link=None)
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
        self.trail.record(EventType.SIGNIN_RESTARTED, Reason.INTERACTION_EXPIRED, interaction=fresh, origin=origin)
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
        if account is None or not facts.is_stale:
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

    def realm(self, interaction: Interaction, place: Establishment | None, bystander: Bystander) -> Realm:
        """The upstream providers to offer, or to lead to straight away."""
        return realm_of(self.upstreams.providers, interaction, slug=place.slug if place else None, bystander=bystander)

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

    def offers_ticket(self, interaction: Interaction, step: Step, session: Session | None, *, visitor: Visitor, must_act: bool) -> bool:
        """Whether the browser may be asked for its Windows session; `must_act`: whoever is here must show by hand who they are."""
        return self.windows.is_offered(Asked(interaction=interaction, visitor=visitor), step, session, must_act=must_act)

    def sign_in_with_ticket(self, interaction: Interaction, token: bytes, visitor: Visitor) -> tuple[Interaction, bytes]:
        """The proof of a Windows session, and what to answer the browser. Raises WindowsRefused, StoreUnavailable.

        What was refused is not asked for again on the same page, unless it could not be known.
        """
        request = interaction.request
        with self._database.read() as tx:
            max_age = max_age_seconds(request, self._load_client(tx, request.client_id)) if request else None
        try:
            accepted = self.windows.prove(token, Asked(interaction=interaction, visitor=visitor, max_age_seconds=max_age))
        except WindowsRefused as refused:
            if not refused.is_unreachable:
                self._save(replace(interaction, ticket_refused=True))
            raise
        return self._proven(interaction, accepted.proof), accepted.answer

    def link_obstacle(self, interaction: Interaction, step: Step) -> Reason | None:
        """Why who came by the provider cannot be the person of the Step, as it stands now; the end looks again."""
        pending, account = interaction.pending_link, step.account
        if pending is None or account is None:
            return None
        with self._database.read() as tx:
            return obstacle(tx, account.id, pending.connector, pending.subject) or step.reason

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
                self._save(unanswered(interaction))  # what was proven is worth nothing any more
            raise
        proof = replace(proof, must_change_password=False, auth_time=self._clock.now(), credential_at=changed_at)
        return self._save(replace(interaction, proof=proof))

    def factor(self, account_id: str, factor_id: str | None) -> Factor:
        """One of a person's own. Raises FactorRefused when it is there no more."""
        with self._database.read() as tx:
            found = tx.factors.get(factor_id) if factor_id else None
        if found is None or found.account_id != account_id or found.ended_at is not None:
            raise FactorRefused(Reason.NO_SUCH_FACTOR)
        return found

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

    def _proven(self, interaction: Interaction, proof: Proof) -> Interaction:
        # What another person in this browser answered on the same page is not this one's answer.
        return self._save(replace(unanswered(interaction), proof=proof))

    def _save(self, interaction: Interaction) -> Interaction:
        self.interactions.save(interaction)
        return interaction


def _stored_client(tx: Transaction, client_id: str) -> Client | None:
    client = tx.clients.get(client_id)
    return client if client and client.ended_at is None else None


def _beginning_of(interaction_id: str) -> str:
    return f"beginning {interaction_id}"


def application_url(request: AuthorizationRequest | None) -> str | None:
    """The front page of a web application, from its validated redirect URI; our account page when nobody else asked."""
    if request is None:
        return "/account"
    parts = urlsplit(request.redirect_uri)
    return f"{parts.scheme}://{parts.netloc}/" if parts.scheme in {"http", "https"} else None
