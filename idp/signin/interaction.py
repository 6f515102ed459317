"""The Interaction: one authorization request in progress, and how it is kept.

Owns the values AuthorizationRequest, Proof, Interaction and Finish, and their store (ephemeral, expiring, tied to one browser). The request is
validated once by idp/oauth/authorize.py and frozen here. `request` is None when a person signs in to our own account page. A first proof says who is
there; second proofs (factor.py) only say it again, by other means.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from idp.clock import Clock
from idp.crypto import digest, same
from idp.errors import Refused
from idp.signin.factor import FactorProof
from idp.store.base import Ephemeral, Session, StoredProof
from policies.assurance import Assurance, Method
from policies.zones import Whereabouts

KIND = "interaction"
LOCAL = "local"  # the connector of passwords kept here


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A validated authorization request: everything in it was checked against the client."""

    client_id: str
    redirect_uri: str
    response_mode: str  # query or form_post
    scope: tuple[str, ...]
    claims_scope: tuple[str, ...] = ()  # the scopes that hold the claims asked one by one, beyond `scope`
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    prompt: frozenset[str] = frozenset()
    max_age_seconds: int | None = None
    asks_auth_time: bool = False  # as an essential claim of the ID token
    ui_locales: tuple[str, ...] = ()
    claims_locales: str | None = None
    login_hint: str | None = None
    hinted_account_id: str | None = None  # from id_token_hint, or the claims parameter's sub value
    acr_values: tuple[str, ...] = ()
    essential_acr: tuple[str, ...] = ()
    claims: Mapping[str, Any] | None = None
    resources: tuple[str, ...] = ()
    establishment_hint: str | None = None  # slug, from the `establishment` parameter
    idp_hint: str | None = None  # name of an upstream provider, from `kc_idp_hint`
    domain_hint: str | None = None  # the domain whose provider is meant

    @property
    def consent_scope(self) -> tuple[str, ...]:
        """All that the person would give: the scopes, and those whose claims are asked one by one."""
        return (*self.scope, *self.claims_scope)

    @property
    def needs_auth_time(self) -> bool:
        """Whether the answer must say when the person was there (OpenID Connect Core section 2)."""
        return self.asks_auth_time or self.max_age_seconds is not None

    @property
    def is_silent(self) -> bool:
        """prompt=none: no page may be shown."""
        return "none" in self.prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who a connector said is there, when, and by what means: `method` for the rules, `amr` (RFC 8176) and `acr` for the trail of this proof alone.

    `factor_id` is the passkey of somebody who signed in with that and nothing else. `upstream_acr`: how an upstream provider says that it was proven,
    where it is trusted to say so; `arrived_at`: when its word reached us, since the person may have been there hours before.
    """

    account_id: str
    auth_time: datetime
    amr: tuple[str, ...]
    acr: str
    connector: str
    method: str = Method.PASSWORD
    factor_id: str | None = None
    must_change_password: bool = False
    password_is_old: bool = False  # that is why
    credential_at: datetime | None = None  # when the local password that was proven was set: the proof dies with it
    upstream_acr: str | None = None
    arrived_at: datetime | None = None

    @property
    def reached_us_at(self) -> datetime:
        """When it was shown to us."""
        return self.arrived_at or self.auth_time

    @property
    def is_local(self) -> bool:
        """Whether the proof is a password that is kept here."""
        return self.connector == LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLink:
    """Somebody whom an upstream provider vouches for and who is nobody here yet: linked at the end, to whoever proves who they are.

    `refresh_seal`: the provider's refresh token, sealed, as hexadecimal digits. `account_id`: whose own account page it was begun on, which is proof
    of that side; `confirmed_by`: who has said, having proven who they are, that both are theirs.
    """

    connector: str
    subject: str
    label: str
    shown_name: str
    arrived_at: datetime
    refresh_seal: str | None = None
    account_id: str | None = None
    confirmed_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """Where one sign-in stands. Steps replace it by a copy that knows more; they never route to one another."""

    id: str
    browser_digest: str
    created_at: datetime
    request: AuthorizationRequest | None
    return_to: str = "/account"  # where to go when `request` is None; always one of our own paths
    step_up: str | None = None  # asked by our own pages of who is signed in: "sign_in", the first proof again, "second_factor", or "enrol"
    proof: Proof | None = None
    factors: tuple[FactorProof, ...] = ()
    factor_kind: str | None = None  # which of several second factors the person wants to use, or to add
    remembers_device: bool = False  # the person asked not to be asked again in this browser
    pass_digest: str | None = None  # of a pass to add a first factor: checked, and used up with the addition
    declined: bool = False  # the person goes on without what the client would have liked
    selected_session: bool = False  # prompt=select_account: the person chose to go on as the Session's person
    came_to: str | None = None  # the slug of the establishment by whose address the person came to our own pages: a hint
    establishment_id: str | None = None
    consented: bool = False
    closing_session_id: str | None = None
    restarts: int = 0
    sign_outs: int = 0  # how often somebody had signed out in this browser when the proof was made
    upstream: str | None = None  # the provider that the person was sent to last
    upstream_problem: str | None = None  # why nothing came of it, as a reason code
    upstream_sent: tuple[
        str, ...
    ] = ()  # what for the browser was sent to a provider without being asked: once each, so that it does not go round
    pending_link: PendingLink | None = None
    ticket_refused: bool = False  # a Windows session was shown on this page and signed nobody in: it is not asked for again


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUse:
    """What becomes of the browser's place among the person's Devices at the end of a sign-in.

    `device_id` is the one it was recognised as, by the secret `presented_digest` (its `current_digest`, or the one before). `stale_id` is one whose
    former secret came back too late: somebody has a copy of it. Nothing of a shared machine is kept (`is_kept`).
    """

    device_id: str | None = None
    current_digest: str | None = None
    presented_digest: str | None = None
    stale_id: str | None = None
    is_kept: bool = False
    is_inside: bool = False
    remembered_for: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What the end of a sign-in stands on: where, with what machine and Device, what was proven and what the rules said (`decision`, as JSON).

    `begins_grace`: the person has no factor, and the establishment's days to get one are counted from now.
    """

    whereabouts: Whereabouts
    proofs: tuple[StoredProof, ...]
    assurance: Assurance
    decision: Mapping[str, Any]
    workstation_id: str | None = None
    device: DeviceUse = DeviceUse()
    begins_grace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLeave:
    """From what position a person links a sign-in of theirs, which is to add a means of sign-in: as for a factor (policies/enrolment.py).

    `signed_in_at`: when their first proof was given, None when nobody knows; `pass_digest`: of an enrolment pass that was checked; `recent`: how
    long a factor that was shown speaks for it.
    """

    signed_in_at: datetime | None = None
    pass_digest: str | None = None
    recent: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """All that is needed to write Session, Grant and code: the end of a sign-in.

    `proof` is None when an open Session answers by itself; then `session` is that Session, and `factors` what was added to it. With both, the same
    browser's Session is renewed when it is the same person's, replaced otherwise. `acr` is the level to tell the client, when it asked for one that
    what was proven goes beyond.
    """

    request: AuthorizationRequest | None
    account_id: str
    establishment_id: str
    proof: Proof | None
    session: Session | None
    grounds: Grounds
    factors: tuple[FactorProof, ...] = ()
    acr: str | None = None
    closing_session_id: str | None = None
    consented: bool = False
    interaction_digest: str | None = None  # spent with what it opens; None when no page was shown
    pending_link: PendingLink | None = None  # somebody of a provider, who both sides say is this person
    link_leave: LinkLeave = LinkLeave()
    is_degraded: bool = False  # the person's directory could not be asked, and its last word is used for a while


class Interactions:
    """Keeps Interactions in the ephemeral store."""

    def __init__(self, ephemeral: Ephemeral, clock: Clock, life: timedelta) -> None:
        self._ephemeral = ephemeral
        self._clock = clock
        self._life = life

    def open(
        self, request: AuthorizationRequest | None, browser: str, *, return_to: str = "/account", step_up: str | None = None
    ) -> Interaction:
        """Begin, tied to the browser's secret; nothing is stored until `save`."""
        return Interaction(
            id=self._clock.new_token(),
            browser_digest=digest(browser),
            created_at=self._clock.now(),
            request=request,
            return_to=return_to,
            step_up=step_up,
        )

    def save(self, interaction: Interaction) -> None:
        """Store; the page may stay open for the interaction's life from now."""
        self._ephemeral.put(KIND, digest(interaction.id), _encode(interaction), self._life)

    def load(self, interaction_id: str, browser: str) -> Interaction:
        """The Interaction; Refused(interaction_expired) when gone, Refused(interaction_of_another_browser) when another began it."""
        stored = self._ephemeral.get(KIND, digest(interaction_id))
        if stored is None:
            raise Refused("interaction_expired")
        interaction = _decode(stored, interaction_id)
        if not same(interaction.browser_digest, digest(browser)):
            raise Refused("interaction_of_another_browser")
        return interaction

    def close(self, interaction_id: str) -> bool:
        """Take it away: True for exactly one of several callers, who may finish it."""
        return self._ephemeral.take(KIND, digest(interaction_id)) is not None


def _encode(interaction: Interaction) -> bytes:
    # The id is half of what opens a sign-in page (the browser's secret is the other): it is kept as a digest only, in the key.
    values = dataclasses.asdict(interaction)
    del values["id"]
    return json.dumps(values, default=_plain).encode()


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not kept in an interaction")


def _decode(stored: bytes, interaction_id: str) -> Interaction:
    raw = {**json.loads(stored), "id": interaction_id}
    raw["created_at"] = datetime.fromisoformat(raw["created_at"])
    if raw["request"] is not None:
        request = raw["request"]
        for name in ("scope", "claims_scope", "ui_locales", "acr_values", "essential_acr", "resources"):
            request[name] = tuple(request.get(name, ()))  # one that an earlier release stored may lack a newer name
        request["prompt"] = frozenset(request["prompt"])
        request.pop("display", None)  # which an earlier release kept, and nothing read
        raw["request"] = AuthorizationRequest(**request)
    if raw["proof"] is not None:
        proof = raw["proof"]
        instants = {name: datetime.fromisoformat(proof[name]) for name in ("auth_time", "credential_at", "arrived_at") if proof.get(name)}
        raw["proof"] = Proof(**{**proof, **instants, "amr": tuple(proof["amr"])})
    raw["upstream_sent"] = tuple(raw.get("upstream_sent", ()))
    if raw.get("pending_link") is not None:
        pending = raw["pending_link"]
        raw["pending_link"] = PendingLink(**{**pending, "arrived_at": datetime.fromisoformat(pending["arrived_at"])})
    raw["factors"] = tuple(FactorProof(**{**given, "at": datetime.fromisoformat(given["at"])}) for given in raw.get("factors", ()))
    return Interaction(**raw)
