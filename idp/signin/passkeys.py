"""Passkeys: added, proven beside a password (a second factor), or instead of one.

Owns whose passkey an answer is, whether that person may use it, the counter (a copy betrays itself by one that goes back) and the Events. What
WebAuthn says is ceremony.py's, adding one passkey_enrolment.py's; the count of tries and the directories' word are handed in. A refused answer has
spent its challenge. Sources: WebAuthn Level 3 sections 6.1.1, 7.2 and 14.6.1.
"""

from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.crypto import Keyring, digest, same
from idp.errors import Refused
from idp.signin.ceremony import Answer, Asked, Ceremonies, Purpose, Tie
from idp.signin.directories import AskStanding
from idp.signin.enrolment import Asking
from idp.signin.factor import FactorProof, FactorRefused
from idp.signin.interaction import LOCAL, Proof
from idp.signin.passkey_answer import Assertion
from idp.signin.passkey_enrolment import KIND, PasskeyEnrolment, passkeys_of, user_handle
from idp.signin.second_factors import SecondFactors
from idp.store.base import Account, Ephemeral, Factor
from idp.store.database import Database
from policies.assurance import Given, Method, assess

# Nothing was guessed: a page that stayed open, a finger that was not put down. A person must not be blocked for these.
HARMLESS = frozenset(
    {Reason.PASSKEY_CHALLENGE_EXPIRED, Reason.PASSKEY_CHALLENGE_MISPLACED, Reason.PASSKEY_MALFORMED, Reason.PASSKEY_NOT_VERIFIED}
)


class Passkeys:
    """Asks for passkeys and judges what comes back. Safe between threads; build one per process.

    `ask_standing` asks a person's directories now, however fresh their last word is, and keeps what they say.
    """

    def __init__(
        self,
        config: Config,
        *,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        clock: Clock,
        factors: SecondFactors,
        ask_standing: AskStanding,
    ) -> None:
        ceremonies = Ceremonies(ephemeral, clock, issuer=config.issuer, name=config.pages.product_name)
        self._ceremonies = ceremonies
        self._database = database
        self._keyring = keyring
        self._clock = clock
        self._throttle = factors.throttle
        self._ask_standing = ask_standing
        self._enrolment = PasskeyEnrolment(ceremonies, factors.enrolment, database=database, keyring=keyring, clock=clock)
        self._allows_demo = config.is_loopback
        self._page_life = config.sessions.interaction_life
        self._freshness = config.standing.staleness_bound
        self.is_offered = KIND in config.factors.offered and ceremonies.is_possible
        self.is_passwordless = self.is_offered and config.factors.passwordless

    # A new one

    def begin_registration(self, asking: Asking, tie: Tie, *, origin: Origin) -> str:
        """The options of navigator.credentials.create() as JSON. Raises EnrolmentRefused (the Event is written), StoreUnavailable."""
        return self._enrolment.begin(asking, tie, origin=origin)

    def finish_registration(self, asking: Asking, response: str, tie: Tie, *, label: str, origin: Origin) -> tuple[Factor, FactorProof]:
        """The new Factor, which was just proven by being made. Raises EnrolmentRefused (the Event is written), StoreUnavailable."""
        return self._enrolment.finish(asking, response, tie, label=label, origin=origin)

    # Beside a password

    def begin_assertion(self, account_id: str, tie: Tie, *, requires_verification: bool = False) -> str | None:
        """The options of navigator.credentials.get() as JSON for a person who is known; None when they have no passkey.

        The key verifies its person where it can, and must when `requires_verification`: what it did decides between PASSKEY and PASSKEY_VERIFIED.
        """
        with self._database.read() as tx:
            allowed = passkeys_of(tx, account_id)
        if not allowed:
            return None
        asked = Asked(purpose=Purpose.SECOND_FACTOR, account_id=account_id, requires_verification=requires_verification)
        return self._ceremonies.ask_assertion(asked, tie, allowed=allowed)

    def finish_assertion(self, account_id: str, response: str, tie: Tie, *, origin: Origin) -> FactorProof:
        """The proof in what the browser sent. Raises FactorRefused (the Event is written), StoreUnavailable."""
        attempt = self._throttle.admit(account_id, KIND, origin)
        factor: Factor | None = None
        try:
            answer = self._ceremonies.read_assertion(response, tie, Purpose.SECOND_FACTOR)
            if answer.asked.account_id != account_id:
                raise Refused(Reason.PASSKEY_CHALLENGE_MISPLACED, "given to another person")
            factor = self._find(answer)
            if factor.account_id != account_id:
                raise Refused(Reason.PASSKEY_OF_ANOTHER_ACCOUNT, factor.id)
            assertion = self._verify(answer, factor, origin)
            self._check_account(account_id)
        except Refused as error:
            reason = Reason(error.reason)
            refused = self._throttle.refused(attempt, reason, factor_id=factor.id if factor else None)
            if reason not in HARMLESS:
                raise refused from error
            self._throttle.forgive(attempt)
            raise FactorRefused(reason) from error
        self._throttle.clear(attempt)
        return FactorProof(account_id=account_id, method=_method(assertion), factor_id=factor.id, at=self._clock.now())

    # Instead of a password

    def begin_sign_in(self, tie: Tie) -> str | None:
        """The options of navigator.credentials.get() as JSON for whoever is there; None when passkeys are not offered for that.

        The challenge lasts as long as the sign-in page may stay open: autofill waits on it.
        """
        if not self.is_passwordless:
            return None
        asked = Asked(purpose=Purpose.PASSWORDLESS, account_id=None, requires_verification=True)
        return self._ceremonies.ask_assertion(asked, tie, life=self._page_life)

    def sign_in(self, response: str, tie: Tie, *, client_id: str | None, origin: Origin) -> Proof:
        """Who signed, as a first proof of two factors at once. Raises FactorRefused (the Event is written), StoreUnavailable.

        No directory is bound to on this way in, so the person's own is asked first: what it says now counts, and when it does not answer its last
        word only within the staleness bound.
        """
        factor: Factor | None = None
        try:
            if not self.is_passwordless:
                raise Refused(Reason.PASSKEY_NOT_OFFERED, "signing in with a passkey alone is not offered")
            answer = self._ceremonies.read_assertion(response, tie, Purpose.PASSWORDLESS)
            factor = self._find(answer)
            if answer.user_handle is None:
                # Section 7.2 step 6: without an account known beforehand the handle must say whose it is.
                raise Refused(Reason.PASSKEY_MALFORMED, "no user handle")
            self._verify(answer, factor, origin)
            account = self._check_account(factor.account_id)
            self._hear(account, origin)
            return self._proof(account.id, factor)
        except Refused as error:
            reason = Reason(error.reason)
            self._record(EventType.SIGNIN_REFUSED, reason, factor, origin=origin, client_id=client_id)
            raise FactorRefused(reason) from error

    # What both share

    def _find(self, answer: Answer) -> Factor:
        with self._database.read() as tx:
            factor = tx.factors.by_credential(digest(answer.credential_id))
        if factor is None or factor.kind != KIND:
            raise Refused(Reason.PASSKEY_UNKNOWN, "no living passkey has this credential id")
        if answer.user_handle is not None and not same(answer.user_handle, user_handle(self._keyring, factor.account_id)):
            raise Refused(Reason.PASSKEY_OF_ANOTHER_ACCOUNT, "the user handle is another person's")
        return factor

    def _verify(self, answer: Answer, factor: Factor, origin: Origin) -> Assertion:
        assertion = self._ceremonies.verify_assertion(answer, factor.public_key or b"")
        now = self._clock.now()
        with self._database.write() as tx:
            if tx.factors.use_count(factor.id, assertion.sign_count, now):
                return assertion
            current = tx.factors.get(factor.id)
            is_over = current is None or current.ended_at is not None
            if not is_over:
                # The key signed, so this is no stranger's noise: either the key was copied, or two of its answers crossed.
                tx.events.append(
                    self._event(EventType.PASSKEY_SUSPECTED, Reason.PASSKEY_CLONED, factor, origin=origin, count=assertion.sign_count)
                )
        if is_over:
            raise Refused(Reason.PASSKEY_UNKNOWN, "removed while it was being used")
        raise Refused(Reason.PASSKEY_CLONED, f"count {assertion.sign_count} after {factor.sign_count}")

    def _check_account(self, account_id: str) -> Account:
        with self._database.read() as tx:
            account = tx.people.get(account_id)
        if account is None or not account.is_active:
            raise Refused(Reason.ACCOUNT_NOT_ACTIVE, account_id)
        if account.is_demo and not self._allows_demo:
            raise Refused(Reason.DEMO_ACCOUNT, account_id)
        return account

    def _hear(self, account: Account, origin: Origin) -> None:
        with self._database.read() as tx:
            if not tx.links.of_account(account.id):
                return
        self._ask_standing(account.id, origin)
        with self._database.read() as tx:
            heard = tx.people.heard(account.id)
        current, word_at, _ = heard or (None, None, None)
        if current is None or not current.is_active:
            raise Refused(Reason.ACCOUNT_NOT_ACTIVE, "the directory says so")
        if word_at is not None and self._clock.now() - word_at > self._freshness:
            raise Refused(Reason.DIRECTORY_UNREACHABLE, "its last word is too old to sign in on without a password")

    def _proof(self, account_id: str, factor: Factor) -> Proof:
        """As the password would have given it: the Session belongs to the source that the person is from, and dies with what is changed there."""
        now = self._clock.now()
        with self._database.read() as tx:
            password, links = tx.people.password(account_id), tx.links.of_account(account_id)
        is_elsewhere = password is None and bool(links)
        assurance = assess([Given(Method.PASSKEY_VERIFIED, now)], approved_windows=False)
        return Proof(
            account_id=account_id,
            auth_time=now,
            amr=assurance.amr,
            acr=assurance.acr,
            connector=links[0].connector if is_elsewhere else LOCAL,
            method=Method.PASSKEY_VERIFIED,
            factor_id=factor.id,
            must_change_password=password is not None and password.must_change,
            credential_at=links[0].password_changed_at if is_elsewhere else password.changed_at if password else None,
        )

    def _record(self, kind: EventType, reason: Reason, factor: Factor | None, *, origin: Origin, client_id: str | None) -> None:
        with self._database.write() as tx:
            tx.events.append(self._event(kind, reason, factor, origin=origin, client_id=client_id))

    def _event(
        self,
        kind: EventType,
        reason: Reason,
        factor: Factor | None,
        *,
        origin: Origin,
        client_id: str | None = None,
        count: int | None = None,
    ) -> Event:
        details: dict[str, str | int | bool | None] = {"kind": KIND}
        if factor is not None:
            details["factor"] = factor.id
        if count is not None and factor is not None:
            details |= {"count": count, "last_count": factor.sign_count}
        return Event(
            type=kind,
            at=self._clock.now(),
            actor="anonymous",
            origin=origin,
            reason=reason,
            account_id=factor.account_id if factor else None,
            client_id=client_id,
            details=details,
        )


def _method(assertion: Assertion) -> str:
    return Method.PASSKEY_VERIFIED if assertion.is_verified else Method.PASSKEY
