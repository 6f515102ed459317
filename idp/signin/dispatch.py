"""The dispatcher: what a sign-in needs next, exactly one Step.

Owns the order of the questions (`decide_step`, pure, on frozen Facts) and nothing of how a Step is carried out: every Step comes back here. facts.py
gathers; the rules themselves are in policies/. Sources: OpenID Connect Core 1.0 sections 3.1.2.1 (prompt, max_age, id_token_hint), 3.1.2.3,
3.1.2.6 and 5.5.1.1 (essential acr).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from idp.audit import Reason
from idp.crypto import digest
from idp.signin.interaction import AuthorizationRequest, Finish, Interaction
from idp.signin.local import SUPPORTED_ACR
from idp.store.base import Account, Client, Establishment, Session
from policies.access import AccessFacts, choose, decide, usable_attachments
from policies.sessions import SessionLimits, needs_fresh_authentication, over_limit


class StepKind(StrEnum):
    """What is to be done next. FINISH and DENY end the sign-in; every other kind asks the person something."""

    SELECT_ACCOUNT = "select_account"
    LOGIN = "login"
    CHOOSE_ESTABLISHMENT = "choose_establishment"
    CHANGE_PASSWORD = "change_password"  # noqa: S105  # the name of a step, not a password
    CLOSE_SESSION = "close_session"
    CONSENT = "consent"
    DENY = "deny"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The next step, with what its page or its end needs; the other fields are empty.

    `error` is the OAuth error that refuses the request when the step is not carried out; None on a DENY whose client is not proven any more, which
    may only be answered by a page. `must_redirect`: answer the client at once with `error`, no page may be shown or could help.
    """

    kind: StepKind
    reason: Reason | None = None
    error: str | None = None
    must_redirect: bool = False
    account: Account | None = None
    establishment: Establishment | None = None
    choices: tuple[Establishment, ...] = ()
    suggested_id: str | None = None
    sessions: tuple[Session, ...] = ()
    scopes: tuple[str, ...] = ()
    finish: Finish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a Step is decided on, at one instant.

    `session` is live and this browser's. `account` is the proof's, else the Session's. `establishments` are those of the account's attachments, by
    id. `other_sessions` are the account's live ones elsewhere, oldest first, gathered only when a new one would be opened. `word_at` is when the
    account's directories last spoke of it, None when it is in none; after `longest_silence` nothing is given on their word any more.
    """

    now: datetime
    interaction: Interaction
    session: Session | None
    client: Client | None
    account: Account | None
    access: AccessFacts
    establishments: dict[str, Establishment]
    other_sessions: tuple[Session, ...]
    consented_scope: frozenset[str]
    limits: SessionLimits
    word_at: datetime | None
    longest_silence: timedelta


SILENT_ERROR = {
    StepKind.LOGIN: ("login_required", Reason.LOGIN_REQUIRED),
    StepKind.SELECT_ACCOUNT: ("account_selection_required", Reason.ACCOUNT_SELECTION_REQUIRED),
    StepKind.CONSENT: ("consent_required", Reason.CONSENT_REQUIRED),
    StepKind.CHOOSE_ESTABLISHMENT: ("interaction_required", Reason.INTERACTION_REQUIRED),
    StepKind.CHANGE_PASSWORD: ("interaction_required", Reason.INTERACTION_REQUIRED),
    StepKind.CLOSE_SESSION: ("interaction_required", Reason.INTERACTION_REQUIRED),
}


def decide_step(facts: Facts) -> Step:
    """The one next Step. With prompt=none every Step that would show a page becomes the OpenID Connect error that stands for it."""
    step = next(step for check in _CHECKS if (step := check(facts)) is not None)
    request = facts.interaction.request
    if request is None or not request.is_silent or step.kind is StepKind.FINISH or step.error is None:
        return step
    if step.kind is StepKind.DENY:
        return replace(step, must_redirect=True)
    error, reason = SILENT_ERROR[step.kind]
    return replace(step, error=error, reason=reason, must_redirect=True)


def active_establishment(facts: Facts) -> tuple[str | None, bool, str | None]:
    """The establishment's id, else whether to ask, and which to suggest.

    The first hint that opens this client wins: the request's, then what the person chose on the page, then the Session's.
    """
    last = facts.account.last_establishment_id if facts.account else None
    interaction, session = facts.interaction, facts.session
    hinted = interaction.request.establishment_hint if interaction.request else None
    of_hint = next((key for key, place in facts.establishments.items() if hinted is not None and place.slug == hinted), None)
    is_same_person = session is not None and facts.account is not None and session.account_id == facts.account.id
    of_session = session.establishment_id if session is not None and is_same_person else None
    choice = choose(facts.access, None, last)
    for wanted in (of_hint, interaction.establishment_id, of_session):
        if wanted is not None and (found := choose(facts.access, wanted, last)).establishment_id == wanted:
            choice = found
            break
    return choice.establishment_id, choice.must_ask, choice.suggested


def _check_client(facts: Facts) -> Step | None:
    if facts.interaction.request is None or facts.client is not None:
        return None
    return Step(kind=StepKind.DENY, reason=Reason.UNKNOWN_CLIENT)


def _check_assurance(facts: Facts) -> Step | None:
    request = facts.interaction.request
    if request is None or not request.essential_acr or SUPPORTED_ACR.intersection(request.essential_acr):
        return None
    reason = Reason.UNMET_AUTHENTICATION_REQUIREMENTS
    return Step(kind=StepKind.DENY, reason=reason, error=str(reason), must_redirect=True)


def _check_person(facts: Facts) -> Step | None:
    interaction, session = facts.interaction, facts.session
    request = interaction.request
    if interaction.proof is not None:
        # A hint names who the client believes is there: somebody else's proof must not answer for them (section 3.1.2.1).
        if request and request.hinted_account_id not in {None, interaction.proof.account_id}:
            return Step(kind=StepKind.DENY, reason=Reason.LOGIN_REQUIRED, error="login_required", account=facts.account)
        return None
    login = Step(kind=StepKind.LOGIN, error="access_denied", account=facts.account)
    if session is None or facts.account is None:
        return replace(login, account=None)
    if request is None:
        return None
    if request.hinted_account_id not in {None, session.account_id} or "login" in request.prompt:
        return login
    if "select_account" in request.prompt and not interaction.selected_session:
        return Step(kind=StepKind.SELECT_ACCOUNT, error="access_denied", account=facts.account)
    if needs_fresh_authentication(session.auth_time, _max_age_seconds(request, facts.client), facts.now):
        return login
    if request.essential_acr and session.acr not in request.essential_acr:
        return login
    return None


def _check_standing(facts: Facts) -> Step | None:
    if facts.word_at is None or facts.now - facts.word_at <= facts.longest_silence:
        return None
    return Step(kind=StepKind.DENY, reason=Reason.DIRECTORY_UNREACHABLE, error="temporarily_unavailable", account=facts.account)


def _check_access(facts: Facts) -> Step | None:
    decision = decide(facts.access, None)
    if decision.is_allowed:
        return None
    return Step(kind=StepKind.DENY, reason=Reason(decision.reasons[0]), error="access_denied", account=facts.account)


def _check_password(facts: Facts) -> Step | None:
    proof = facts.interaction.proof
    if proof is None or not proof.must_change_password:
        return None
    return Step(kind=StepKind.CHANGE_PASSWORD, reason=Reason.PASSWORD_MUST_CHANGE, error="access_denied", account=facts.account)


def _check_establishment(facts: Facts) -> Step | None:
    establishment_id, must_ask, suggested = active_establishment(facts)
    if not must_ask and establishment_id is not None:
        return None
    usable = {attachment.establishment_id for attachment in usable_attachments(facts.access)}
    choices = sorted((place for key, place in facts.establishments.items() if key in usable), key=lambda place: place.name)
    return Step(
        kind=StepKind.CHOOSE_ESTABLISHMENT, error="access_denied", account=facts.account, choices=tuple(choices), suggested_id=suggested
    )


def _check_session_limit(facts: Facts) -> Step | None:
    interaction, account = facts.interaction, facts.account
    if interaction.proof is None or account is None:
        return None
    if facts.session is not None and facts.session.account_id == account.id:
        return None  # this browser's Session is renewed or replaced: there will be no more than before
    if any(session.id == interaction.closing_session_id for session in facts.other_sessions):
        return None
    if not over_limit(len(facts.other_sessions) + 1, facts.limits):
        return None
    return Step(kind=StepKind.CLOSE_SESSION, error="access_denied", account=account, sessions=facts.other_sessions)


def _check_consent(facts: Facts) -> Step | None:
    interaction, client = facts.interaction, facts.client
    request = interaction.request
    if request is None or client is None or interaction.consented:
        return None
    is_asked = "consent" in request.prompt
    if not is_asked and (not client.settings.require_consent or facts.consented_scope.issuperset(request.consent_scope)):
        return None
    return Step(kind=StepKind.CONSENT, error="access_denied", account=facts.account, scopes=request.consent_scope)


def _finish(facts: Facts) -> Step:
    establishment_id, _, _ = active_establishment(facts)
    if facts.account is None or establishment_id is None:
        return Step(kind=StepKind.DENY, reason=Reason.NOTHING_SAID, error="access_denied", account=facts.account)
    interaction = facts.interaction
    finish = Finish(
        request=interaction.request,
        account_id=facts.account.id,
        establishment_id=establishment_id,
        proof=interaction.proof,
        session=facts.session,
        closing_session_id=interaction.closing_session_id,
        consented=interaction.consented,
        interaction_digest=digest(interaction.id),
    )
    return Step(kind=StepKind.FINISH, account=facts.account, establishment=facts.establishments.get(establishment_id), finish=finish)


def _max_age_seconds(request: AuthorizationRequest, client: Client | None) -> int | None:
    if request.max_age_seconds is not None:
        return request.max_age_seconds
    default = client.settings.default_max_age if client else None
    return None if default is None else int(default.total_seconds())


# The order is the promise: who, then whether they may, then with what, then where, then what the client gets.
_CHECKS: tuple[Callable[[Facts], Step | None], ...] = (
    _check_client,
    _check_assurance,
    _check_person,
    _check_standing,
    _check_access,
    _check_password,
    _check_establishment,
    _check_session_limit,
    _check_consent,
    _finish,
)
