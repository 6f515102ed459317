"""The journey to an upstream provider and back: where a browser is sent, what is kept until it returns, and whom that leaves us with.

Owns the state parameter (256 random bits, kept sealed, tied to one browser and one Interaction, taken once), the translation of the connectors'
errors into reasons, and their Events. What comes back is believed by the connector alone; whose Account it is, recognition.py says. Knows no web.
Sources: OpenID Connect Core 1.0 section 3.1.2, RFC 9700 sections 2.1, 4.4 (mix-up) and 4.7 (login CSRF), RFC 9207.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn

import structlog

from connectors.base import (
    Arrival,
    Ask,
    CredentialsRefused,
    Departure,
    PersonNotUsable,
    SourceMisbehaved,
    SourceUnreachable,
    UpstreamRefused,
)
from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import Keyring, digest, same
from idp.errors import Refused, VestibuleError
from idp.signin.directories import REASON_OF_STATE, AskStanding
from idp.signin.interaction import Interaction, Proof
from idp.signin.linking import Adopted
from idp.signin.providers import OpenedProvider, Providers
from idp.signin.recognition import Recogniser, Stranger
from idp.store.base import Ephemeral
from idp.store.database import Database
from policies.assurance import Given, Method, assess
from policies.sessions import LONG_AGO

DEPARTURE, ANSWER = "upstream.departure", "upstream.answer"
SEAL = "upstream state"
JOURNEY_LIFE = timedelta(minutes=20)  # to sign in there: a forgotten password, a phone to be fetched
ANSWER_LIFE = timedelta(minutes=2)  # from the provider's answer to our own address, in one redirect
LEEWAY = timedelta(seconds=60)
STRAY = "upstream.stray"  # answers that belong to no sign-in, by address
MOST_STRAY = 60  # within STRAY_WINDOW: beyond, they are no Events any more, which anybody could fill the trail with
STRAY_WINDOW = timedelta(minutes=5)
MOST_PARAMETERS = 20
LONGEST_PARAMETER = 16_384  # an Entra code with its session state, with room to spare
ERROR_CODE = re.compile(r"[a-z_]{1,50}\Z")
# What RFC 6749 and OpenID Connect Core call the person's own no, and Entra's and PSC's words for the Cancel button.
CANCELLED = frozenset({"access_denied", "user_cancelled", "consent_required", "interaction_required", "login_required"})

Purpose = Literal["sign_in", "second_factor", "link"]

log = structlog.get_logger(__name__)


class UpstreamFailed(Refused):
    """Nothing came of a journey; the Event is written. The public learns the reason and the provider."""

    def __init__(self, reason: Reason, provider: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.provider = provider

    @property
    def is_unreachable(self) -> bool:
        """Whether nothing was wrong but that the provider does not answer."""
        return self.reason == Reason.UPSTREAM_UNREACHABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """What was asked when the browser left. `account_id`: whom a second proof must be of; `sign_outs`: as in Interaction.

    `shown_at`: of a second proof, when the same person was there for the first one, in the same sign-in.
    """

    interaction_id: str
    browser_digest: str
    provider: str
    purpose: Purpose
    departed_at: datetime
    kept: Mapping[str, Any]
    account_id: str | None = None
    client_id: str | None = None
    sign_outs: int = 0
    forces_prompt: bool = False
    max_age_seconds: int | None = None
    shown_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Journey({self.provider}, {self.purpose}, …)"  # a traceback or a log line must not show a verifier


@dataclass(frozen=True, slots=True)
class Returned:
    """A browser that is back with what the provider said; nothing of it is believed yet."""

    journey: Journey
    parameters: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Returned({self.journey!r}, …)"


class Upstreams:
    """Sends browsers to providers and receives them. Safe between threads; build one per process."""

    def __init__(
        self,
        providers: Providers,
        recogniser: Recogniser,
        *,
        database: Database,
        ephemeral: Ephemeral,
        keyring: Keyring,
        clock: Clock,
        issuer: str,
        ask_standing: AskStanding,
    ) -> None:
        self.providers = providers
        self._recogniser = recogniser
        self._database = database
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        self._issuer = issuer
        self._ask_standing = ask_standing

    def callback_url(self, name: str) -> str:
        """See callback_address."""
        return callback_address(self._issuer, name)

    def depart(
        self,
        interaction: Interaction,
        name: str,
        *,
        ask: Ask,
        purpose: Purpose = "sign_in",
        account_id: str | None = None,
        origin: Origin,
    ) -> str:
        """Where to send the browser of an Interaction. `account_id`: whom a second proof must be of.

        Raises UpstreamFailed (the Event is written), StoreUnavailable.
        """
        provider = self.providers.get(name)
        client_id = interaction.request.client_id if interaction.request else None
        if provider is None:
            self._fail(Reason.UPSTREAM_UNKNOWN, name[:40], origin, client_id=client_id, details={"purpose": purpose})
        state = self._clock.new_token()
        departure = self._begin(provider, state, ask, client_id=client_id, purpose=purpose, origin=origin)
        first = interaction.proof if purpose == "second_factor" else None
        journey = Journey(
            interaction_id=interaction.id,
            browser_digest=interaction.browser_digest,
            provider=name,
            purpose=purpose,
            departed_at=self._clock.now(),
            kept=dict(departure.kept),
            account_id=account_id,
            client_id=client_id,
            sign_outs=interaction.sign_outs,
            forces_prompt=ask.forces_prompt,
            max_age_seconds=None if ask.max_age is None else int(ask.max_age.total_seconds()),
            shown_at=first.auth_time if first is not None and first.connector == name and first.account_id == account_id else None,
        )
        self._put(DEPARTURE, digest(state), _encode(journey), JOURNEY_LIFE)
        return departure.url

    def receive(self, name: str, parameters: list[tuple[str, str]], *, origin: Origin) -> str:
        """Keep what a provider's answer says, until the browser comes for it with its own cookie; the state to come with.

        Whatever is sent here by somebody who knows no state of ours is kept nowhere. Raises UpstreamFailed, StoreUnavailable.
        """
        found = dict(parameters)
        is_readable = len(found) == len(parameters) <= MOST_PARAMETERS and all(len(value) <= LONGEST_PARAMETER for value in found.values())
        if not is_readable:
            self._fail_stray(Reason.UPSTREAM_MALFORMED, name, origin)
        state = found.get("state", "")
        journey = self._journey(name, state)
        if journey is None:
            self._fail_stray(Reason.UPSTREAM_STATE, name, origin)
        # The first answer stands: a second one under the same state is somebody else's, or the same form sent twice.
        sealed = self._keyring.seal(SEAL, json.dumps(found).encode(), digest(state))
        self._ephemeral.add(ANSWER, digest(state), sealed, ANSWER_LIFE)
        return state

    def claim(self, name: str, state: str, *, browser: str | None, origin: Origin) -> Returned:
        """What the provider answered, for the browser that left; once. Raises UpstreamFailed(upstream_state), StoreUnavailable."""
        journey = self._journey(name, state)
        # Looked at before it is taken: somebody who merely knows a state must not be able to spoil the sign-in it belongs to.
        if journey is None:
            self._fail_stray(Reason.UPSTREAM_STATE, name, origin)
        if browser is None or not same(journey.browser_digest, digest(browser)):
            self._fail(Reason.UPSTREAM_STATE, name[:40], origin, client_id=journey.client_id)
        answer = self._ephemeral.take(ANSWER, digest(state))
        if answer is None or self._ephemeral.take(DEPARTURE, digest(state)) is None:
            self._fail(Reason.UPSTREAM_STATE, name, origin, client_id=journey.client_id, details={"purpose": journey.purpose})
        return Returned(journey, json.loads(self._keyring.unseal(SEAL, answer, digest(state))))

    def arrive(self, returned: Returned, *, origin: Origin) -> Arrival:
        """Who came back, believed. Raises UpstreamFailed (the Event is written)."""
        journey = returned.journey
        provider = self.providers.get(journey.provider)
        if provider is None:
            self._fail(Reason.UPSTREAM_UNKNOWN, journey.provider, origin, journey=journey)
        try:
            arrival = provider.connector.complete(
                returned.parameters, callback_url=self.callback_url(provider.name), kept=dict(journey.kept)
            )
        except UpstreamRefused as refused:
            error = refused.error if ERROR_CODE.match(refused.error) else "other"
            reason = Reason.UPSTREAM_CANCELLED if error in CANCELLED else Reason.UPSTREAM_ERROR
            self._fail(reason, provider.name, origin, journey=journey, details={"error": error}, detail=refused.detail)
        except PersonNotUsable as refused:
            # Said of somebody who was proven: what they have open elsewhere ends now, and not when the provider is asked next.
            self._recogniser.hear_no(provider.name, refused.subject, refused.state, origin=origin)
            self._fail(REASON_OF_STATE[refused.state], provider.name, origin, journey=journey, detail=refused.detail)
        except CredentialsRefused as refused:
            self._fail(Reason.UPSTREAM_CANCELLED, provider.name, origin, journey=journey, detail=refused.detail)
        except SourceUnreachable as away:
            self._fail(
                Reason.UPSTREAM_UNREACHABLE, provider.name, origin, journey=journey, details={"trouble": away.trouble}, detail=away.detail
            )
        except SourceMisbehaved as wrong:
            self._fail(_reason_of(wrong), provider.name, origin, journey=journey, detail=wrong.detail)
        self._check_age(journey, arrival, origin)
        return arrival

    def recognise(self, journey: Journey, arrival: Arrival, *, origin: Origin) -> Proof | Stranger:
        """Whose Account it is, as a Proof; or a Stranger, who may prove to be somebody we know. Raises UpstreamFailed, StoreUnavailable."""
        found = self._recogniser.recognise(arrival, origin, may_create=journey.purpose == "sign_in")
        if isinstance(found, Stranger):
            if journey.purpose == "second_factor":
                self._fail(Reason.UPSTREAM_SUBJECT, journey.provider, origin, journey=journey)
            if found.pending is None:
                self._fail(found.reason, journey.provider, origin, journey=journey)
            if journey.purpose == "sign_in":
                self._note(found.reason, journey, origin)
            return found
        # Whoever left the directory may well be let in by a provider that has not heard of it.
        self._ask_standing(found.account.id, origin)
        with self._database.read() as tx:
            account = tx.people.get(found.account.id)
        if account is None or not account.is_active:
            self._fail(Reason.ACCOUNT_NOT_ACTIVE, journey.provider, origin, journey=journey, account_id=found.account.id)
        if journey.account_id is not None and journey.account_id != found.account.id:
            self._fail(Reason.UPSTREAM_SUBJECT, journey.provider, origin, journey=journey, account_id=journey.account_id)
        if journey.purpose == "second_factor" and not arrival.is_multi_factor:
            self._fail(Reason.UPSTREAM_ASSURANCE, journey.provider, origin, journey=journey, account_id=found.account.id)
        self._record(EventType.UPSTREAM_ARRIVED, journey, origin, account_id=found.account.id, details={"acr": arrival.acr})
        return self._proof(journey, arrival, found)

    def _proof(self, journey: Journey, arrival: Arrival, adopted: Adopted) -> Proof:
        now = self._clock.now()
        method = Method.UPSTREAM_MFA if arrival.is_multi_factor else Method.UPSTREAM
        provider = self.providers.get(journey.provider)
        trusted = provider.settings.trusted_acr if provider else frozenset()
        assurance = assess([Given(method, now)], approved_windows=False)
        return Proof(
            account_id=adopted.account.id,
            auth_time=_shown_at(journey, arrival, now),
            amr=assurance.amr,
            acr=assurance.acr,
            connector=journey.provider,
            method=method,
            credential_at=adopted.password_changed_at,
            upstream_acr=arrival.acr if arrival.acr in trusted else None,
            arrived_at=now,
        )

    def _check_age(self, journey: Journey, arrival: Arrival, origin: Origin) -> None:
        """Somebody was to be there themselves, or not long ago: a provider that says when may not say otherwise (Core section 3.1.2.1, max_age)."""
        if arrival.auth_time is None:
            return
        oldest = [journey.departed_at - LEEWAY] if journey.forces_prompt else []
        if journey.max_age_seconds is not None:
            oldest.append(journey.departed_at - timedelta(seconds=journey.max_age_seconds) - LEEWAY)
        if any(arrival.auth_time < limit for limit in oldest):
            self._fail(Reason.UPSTREAM_TOO_OLD, journey.provider, origin, journey=journey)

    def _begin(
        self, provider: OpenedProvider, state: str, ask: Ask, *, client_id: str | None, purpose: Purpose, origin: Origin
    ) -> Departure:
        try:
            return provider.connector.begin(self.callback_url(provider.name), state=state, ask=ask)
        except SourceUnreachable as away:
            details: dict[str, str | int | bool | None] = {"purpose": purpose, "trouble": away.trouble}
            self._fail(Reason.UPSTREAM_UNREACHABLE, provider.name, origin, client_id=client_id, details=details, detail=away.detail)
        except SourceMisbehaved as wrong:
            self._fail(_reason_of(wrong), provider.name, origin, client_id=client_id, details={"purpose": purpose}, detail=wrong.detail)

    # What is kept

    def _put(self, kind: str, key: str, value: bytes, life: timedelta) -> None:
        self._ephemeral.put(kind, key, self._keyring.seal(SEAL, value, key), life)

    def _journey(self, name: str, state: str) -> Journey | None:
        """The journey that a state belongs to, if it leads to this provider."""
        if not 0 < len(state) <= 200:
            return None
        stored = self._ephemeral.get(DEPARTURE, digest(state))
        if stored is None:
            return None
        try:
            journey = _decode(self._keyring.unseal(SEAL, stored, digest(state)))
        except VestibuleError:
            return None  # written under another master key
        return journey if journey.provider == name else None

    # The trail

    def _fail(
        self,
        reason: Reason,
        name: str,
        origin: Origin,
        *,
        journey: Journey | None = None,
        client_id: str | None = None,
        account_id: str | None = None,
        details: Mapping[str, str | int | bool | None] | None = None,
        detail: str = "",
    ) -> NoReturn:
        purpose = {"purpose": journey.purpose} if journey else {}
        if detail:
            log.warning("upstream_refused", connector=name, reason=str(reason), detail=detail, request_id=origin.request_id)
        known = name if self.providers.get(name) is not None else None
        self._write(
            Event(
                type=EventType.UPSTREAM_REFUSED,
                at=self._clock.now(),
                actor="anonymous",
                origin=origin,
                reason=reason,
                account_id=account_id,
                client_id=journey.client_id if journey else client_id,
                connector=known,
                details={**purpose, **(details or {})},
            )
        )
        raise UpstreamFailed(reason, name, detail)

    def _fail_stray(self, reason: Reason, name: str, origin: Origin) -> NoReturn:
        """The refusal of what belongs to no sign-in: anybody may send that, as fast as they like."""
        if self._ephemeral.count(STRAY, origin.address, STRAY_WINDOW) <= MOST_STRAY:
            self._fail(reason, name[:40], origin)
        log.warning("upstream_stray", reason=str(reason), address=origin.address, request_id=origin.request_id)
        raise UpstreamFailed(reason, name[:40])

    def refuse(self, reason: Reason, journey: Journey, *, origin: Origin) -> UpstreamFailed:
        """The refusal of somebody who came back too late, or to a sign-in that is over; its Event is written."""
        try:
            self._fail(reason, journey.provider, origin, journey=journey)
        except UpstreamFailed as failed:
            return failed

    def _note(self, reason: Reason, journey: Journey, origin: Origin) -> None:
        """The Event of somebody who is nobody here, yet."""
        with suppress(UpstreamFailed):
            self._fail(reason, journey.provider, origin, journey=journey)

    def _record(
        self,
        kind: EventType,
        journey: Journey,
        origin: Origin,
        *,
        account_id: str,
        details: Mapping[str, str | int | bool | None],
    ) -> None:
        kept = {"purpose": journey.purpose, **{name: value for name, value in details.items() if value is not None}}
        self._write(
            Event(
                type=kind,
                at=self._clock.now(),
                actor=f"account:{account_id}",
                origin=origin,
                account_id=account_id,
                client_id=journey.client_id,
                connector=journey.provider,
                details=kept,
            )
        )

    def _write(self, event: Event) -> None:
        with self._database.write() as tx:
            tx.events.append(event)


def callback_address(issuer: str, name: str) -> str:
    """The address that is registered at a provider: one for each, so that one provider's answer is never taken for another's."""
    return f"{issuer}/upstream/{name}/callback"


def _shown_at(journey: Journey, arrival: Arrival, now: datetime) -> datetime:
    """When the person was there. A provider that does not say may have let a session of its own answer: that is long ago, never now.

    Where it was made to ask them, they were there between departure and now; the connector refuses it unless the settings say to believe that.
    """
    if arrival.auth_time is not None:
        return min(arrival.auth_time, now)
    if journey.forces_prompt:
        return now
    return journey.shown_at or LONG_AGO


def _reason_of(wrong: SourceMisbehaved) -> Reason:
    return Reason(f"upstream_{wrong.problem}") if wrong.problem else Reason.UPSTREAM_MISBEHAVED


def _encode(journey: Journey) -> bytes:
    values = {name: getattr(journey, name) for name in Journey.__slots__}
    instants = {name: values[name].isoformat() for name in ("departed_at", "shown_at") if values[name] is not None}
    return json.dumps({**values, **instants}).encode()


def _decode(stored: bytes) -> Journey:
    raw = json.loads(stored)
    instants = {name: datetime.fromisoformat(raw[name]) for name in ("departed_at", "shown_at") if raw.get(name) is not None}
    return Journey(**{**raw, **instants})
