"""The dispatcher: what a sign-in needs next, exactly one Step.

Owns the order of the questions (`decide_step`, pure, on frozen Facts) and nothing of how a Step is carried out: every Step comes back here. facts.py
gathers, gate.py asks the rules, which are in policies/. Sources: OpenID Connect Core 1.0 sections 3.1.2.1 (prompt, max_age, id_token_hint,
acr_values), 3.1.2.3, 3.1.2.6 and 5.5.1.1 (essential acr), RFC 9470 section 5.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from idp.audit import Reason
from idp.crypto import digest
from idp.signin import gate
from idp.signin.enrolment import KINDS_THAT_SHOW, SHOWING
from idp.signin.facts import Facts, active_establishment
from idp.signin.gate import FactorChoice, Judgement
from idp.signin.ground import Ground
from idp.signin.interaction import AuthorizationRequest, Finish, LinkLeave
from idp.signin.step import Step, StepKind
from idp.store.base import Account, Client, Establishment
from policies.access import decide, usable_attachments
from policies.assurance import ACR_ORDER, LEVEL_NEEDS_TWO_FACTORS, Missing, Need
from policies.decision import Decision
from policies.enrolment import ENROLMENT_NEEDS_FACTOR, ENROLMENT_SIGN_IN_TOO_OLD, Grace
from policies.sessions import LONG_AGO, needs_fresh_authentication, over_limit

SILENT_ERROR = {
    StepKind.LOGIN: ("login_required", Reason.LOGIN_REQUIRED),
    StepKind.SELECT_ACCOUNT: ("account_selection_required", Reason.ACCOUNT_SELECTION_REQUIRED),
    StepKind.LINK: ("interaction_required", Reason.INTERACTION_REQUIRED),
    StepKind.CONSENT: ("consent_required", Reason.CONSENT_REQUIRED),
    StepKind.CHOOSE_ESTABLISHMENT: ("interaction_required", Reason.INTERACTION_REQUIRED),
    StepKind.CHANGE_PASSWORD: ("interaction_required", Reason.INTERACTION_REQUIRED),
    # Somebody is signed in and must only show more: an application that took "login_required" for a sign-out would be wrong.
    StepKind.FACTOR: ("interaction_required", Reason.INTERACTION_REQUIRED),
    StepKind.ENROL: ("interaction_required", Reason.INTERACTION_REQUIRED),
    StepKind.CLOSE_SESSION: ("interaction_required", Reason.INTERACTION_REQUIRED),
}


def decide_step(facts: Facts) -> Step:
    """The one next Step. With prompt=none every Step that would show a page becomes the OpenID Connect error that stands for it."""
    step = _first(_BEFORE, facts) or _judged(facts)
    request = facts.interaction.request
    if request is None or not request.is_silent or step.kind is StepKind.FINISH or step.error is None:
        return step
    if step.kind is StepKind.DENY:
        return replace(step, must_redirect=True)
    error, reason = SILENT_ERROR[step.kind]
    return replace(step, error=error, reason=reason, must_redirect=True)


def _check_client(facts: Facts) -> Step | None:
    if facts.interaction.request is None or facts.client is not None:
        return None
    return Step(kind=StepKind.DENY, reason=Reason.UNKNOWN_CLIENT)


def _check_assurance(facts: Facts) -> Step | None:
    request = facts.interaction.request
    if request is None or not request.essential_acr or not set(ACR_ORDER).isdisjoint(request.essential_acr):
        return None
    return _unmet(facts)


def _check_stranger(facts: Facts) -> Step | None:
    """Who came by a provider that does not know us proves who they are here, by a proof of now: no Session that is open may answer for them.

    On their own account page they have proven it just before.
    """
    interaction, session = facts.interaction, facts.session
    pending = interaction.pending_link
    if pending is None or interaction.proof is not None:
        return None
    is_own = session is not None and not session.is_locked and session.account_id == pending.account_id
    return None if is_own else Step(kind=StepKind.LINK, error="access_denied")


def _check_person(facts: Facts) -> Step | None:
    interaction, session = facts.interaction, facts.session
    request = interaction.request
    if interaction.proof is not None:
        # A hint names who the client believes is there: somebody else's proof must not answer for them (section 3.1.2.1).
        if request and request.hinted_account_id not in {None, interaction.proof.account_id}:
            return Step(kind=StepKind.DENY, reason=Reason.LOGIN_REQUIRED, error="login_required", account=facts.account)
        # A passkey stands for the provider that the person is from, and no longer than its word does.
        return Step(kind=StepKind.LOGIN, error="access_denied", account=facts.account) if facts.is_upstream_over else None
    login = Step(kind=StepKind.LOGIN, error="access_denied", account=facts.account, is_asked_again=True)
    if session is None or facts.account is None:
        return replace(login, account=None, is_asked_again=False)
    if session.is_locked or facts.is_upstream_over:
        return replace(login, is_asked_again=session.is_locked)
    if request is None:
        return login if interaction.step_up in {"sign_in", "enrol"} else None
    if request.hinted_account_id not in {None, session.account_id} or "login" in request.prompt:
        return login
    if "select_account" in request.prompt and not interaction.selected_session:
        return Step(kind=StepKind.SELECT_ACCOUNT, error="access_denied", account=facts.account)
    if needs_fresh_authentication(session.auth_time, max_age_seconds(request, facts.client), facts.now):
        return login
    if request.needs_auth_time and session.auth_time == LONG_AGO:
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
    reason = Reason.PASSWORD_TOO_OLD if proof.password_is_old else Reason.PASSWORD_MUST_CHANGE
    return Step(kind=StepKind.CHANGE_PASSWORD, reason=reason, error="access_denied", account=facts.account)


def _check_establishment(facts: Facts) -> Step | None:
    establishment_id, must_ask, suggested = active_establishment(facts)
    if not must_ask and establishment_id is not None:
        return None
    usable = {attachment.establishment_id for attachment in usable_attachments(facts.access)}
    choices = sorted((place for key, place in facts.establishments.items() if key in usable), key=lambda place: place.name)
    return Step(
        kind=StepKind.CHOOSE_ESTABLISHMENT, error="access_denied", account=facts.account, choices=tuple(choices), suggested_id=suggested
    )


def _first(checks: Iterable[Callable[[Facts], Step | None]], facts: Facts) -> Step | None:
    return next((step for check in checks if (step := check(facts)) is not None), None)


def _judged(facts: Facts) -> Step:
    """From here on the person may be let in, at one establishment: the rules are asked once, and what they said goes with every later Step."""
    account, ground = facts.account, facts.ground
    place = facts.establishments.get(active_establishment(facts)[0] or "")
    if account is None or ground is None or place is None:
        return Step(kind=StepKind.DENY, reason=Reason.NOTHING_SAID, error="access_denied", account=account)
    judgement = gate.judge(facts, account, place, ground)
    known = _Known(facts, judgement, ground, account, place)
    step = known.ask() or known.ask_to_link() or _first(_AFTER, facts) or known.finish()
    return replace(
        step, establishment=place, whereabouts=ground.whereabouts, decision=judgement.as_json() if step.kind is StepKind.DENY else None
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """A sign-in of somebody at an establishment, judged."""

    facts: Facts
    judgement: Judgement
    ground: Ground
    account: Account
    place: Establishment

    def ask(self) -> Step | None:
        """The proof to ask next: what the rules and the level want, then what the client insists on, then what it would like."""
        if self.judgement.is_denied:
            return self._deny(Reason.DENIED_BY_RULE)
        request = self.facts.interaction.request
        if (step := self._ask_for(())) is not None:
            return step
        if (step := self._ask_again()) is not None:
            return step
        if request is not None and request.essential_acr and (step := self._ask_for(request.essential_acr)) is not None:
            return step if step.kind is not StepKind.DENY else _unmet(self.facts)
        if request is not None and not (request.is_silent or self.facts.interaction.declined):
            # In the order of preference (Core section 3.1.2.1), and voluntary: what cannot be had is gone without (section 5.5.1.1).
            wish = tuple(acr for acr in request.acr_values if acr in ACR_ORDER)[:1]
            if wish and self._missing(wish).kind is not Need.NOTHING and (factors := self._choices(wish)):
                return replace(self._factor(factors), is_optional=True)
        return self._ask_to_enrol()

    def ask_to_link(self) -> Step | None:
        """Whoever has proven who they are says that both are theirs: on a shared machine somebody else may have come by the provider.

        To link is to add a means of sign-in, and wants what a factor wants: with a password alone a thief would keep the Account for good.
        """
        pending = self.facts.interaction.pending_link
        if pending is None:
            return None
        is_confirmed = pending.confirmed_by == self.account.id
        step = Step(kind=StepKind.LINK, error="access_denied", account=self.account)
        _, decision = self._link_leave()
        if decision.is_allowed:
            return None if is_confirmed else step
        if ENROLMENT_SIGN_IN_TOO_OLD in decision.reasons:
            return Step(kind=StepKind.LOGIN, error="access_denied", account=self.account, is_asked_again=True)
        if ENROLMENT_NEEDS_FACTOR in decision.reasons and (factors := self._showing()):
            return replace(self._factor(factors), is_optional=True) if is_confirmed else step
        return replace(step, reason=Reason(decision.reasons[0]), asks_pass="enrol" in self.ground.means.passes)

    def _link_leave(self) -> tuple[LinkLeave, Decision]:
        """Whether a sign-in may be linked, and from what position; a pass is used only where nothing else would do."""
        wanted = gate.asking(self.facts, self.judgement, self.ground, account=self.account, place=self.place)
        bare = replace(wanted, pass_digest=None)
        decision = gate.enrolment(self.facts, bare, self.ground)
        used = bare
        if not decision.is_allowed and wanted.pass_digest is not None:
            used, decision = wanted, gate.enrolment(self.facts, wanted, self.ground)
        return LinkLeave(signed_in_at=used.signed_in_at, pass_digest=used.pass_digest, recent=self.facts.terms.recent), decision

    def _showing(self) -> tuple[FactorChoice, ...]:
        """Factors that show that whoever is there holds one: a pass is not used up for nothing."""
        return tuple(choice for choice in gate.all_choices(self.ground) if choice.kind in KINDS_THAT_SHOW)

    def finish(self) -> Step:
        """Nothing is missing."""
        facts, interaction = self.facts, self.facts.interaction
        grounds = gate.grounds(facts, self.judgement, self.ground, account=self.account, place=self.place)
        essential = interaction.request.essential_acr if interaction.request else ()
        finish = Finish(
            request=interaction.request,
            account_id=self.account.id,
            establishment_id=self.place.id,
            proof=interaction.proof,
            session=facts.session,
            grounds=grounds,
            factors=tuple(given for given in interaction.factors if given.account_id == self.account.id),
            acr=gate.told_acr(grounds.assurance.acr, essential),
            closing_session_id=interaction.closing_session_id,
            consented=interaction.consented,
            interaction_digest=digest(interaction.id),
            pending_link=interaction.pending_link,
            link_leave=self._link_leave()[0] if interaction.pending_link else LinkLeave(),
            is_degraded=facts.is_degraded,
        )
        return Step(kind=StepKind.FINISH, account=self.account, finish=finish)

    def _ask_for(self, acr: tuple[str, ...]) -> Step | None:
        wanted = self._missing(acr)
        if wanted.kind is Need.NOTHING:
            return None
        if wanted.kind is Need.SIGN_IN:
            return Step(kind=StepKind.LOGIN, error="access_denied", account=self.account, is_asked_again=True)
        if wanted.kind is Need.UNATTAINABLE:
            return self._deny(Reason.LEVEL_NOT_REACHABLE)
        if factors := self._choices(acr):
            return self._factor(factors)
        if not acr and self._is_spared(wanted):
            return None
        kinds = frozenset({"passkey"}) if wanted.kind is Need.PHISHING_RESISTANT else gate.KINDS_OF_SECOND_FACTOR
        return self._enrol(kinds & self.facts.terms.offered)

    def _ask_to_enrol(self) -> Step | None:
        """Nobody needs it today, but theirs was reset, or the establishment's grace is over: at a sign-in, the person must add a factor."""
        if self.facts.interaction.step_up == "enrol" and not gate.has_second_factor(self.ground):
            return self._enrol(gate.KINDS_OF_SECOND_FACTOR & self.facts.terms.offered)
        is_signing_in = self.facts.interaction.proof is not None and not self.account.is_break_glass
        if not is_signing_in or self.place.enrolment_grace_days <= 0 or gate.has_second_factor(self.ground):
            return None
        if gate.grace_of(self.facts, self.ground, account=self.account, place=self.place) is not Grace.DUE:
            return None
        step = self._enrol(gate.KINDS_OF_SECOND_FACTOR & self.facts.terms.offered)
        return step if step.kind is StepKind.ENROL else None

    def _ask_again(self) -> Step | None:
        """Our own pages want a factor given now, whatever the Session has proven before."""
        interaction = self.facts.interaction
        is_given = any(given.account_id == self.account.id and given.method in SHOWING for given in interaction.factors)
        if interaction.step_up != "second_factor" or is_given:
            return None
        factors = self._showing()
        return self._factor(factors) if factors else None

    def _is_spared(self, wanted: Missing) -> bool:
        """The level alone wants it, and the establishment gives people without a factor some days to get one."""
        if wanted.reason != LEVEL_NEEDS_TWO_FACTORS or gate.has_second_factor(self.ground):
            return False
        return gate.grace_of(self.facts, self.ground, account=self.account, place=self.place) is Grace.SPARED

    def _enrol(self, kinds: frozenset[str]) -> Step:
        """Add a factor here, if that may be; else say why not, and whom to ask."""
        if not kinds:
            return self._deny(Reason.NO_FACTOR_ENROLLED)
        asking = gate.asking(self.facts, self.judgement, self.ground, account=self.account, place=self.place)
        decision = gate.enrolment(self.facts, asking, self.ground)
        step = Step(kind=StepKind.ENROL, error="access_denied", account=self.account, kinds=kinds, asking=asking)
        if decision.is_allowed:
            return step
        if ENROLMENT_SIGN_IN_TOO_OLD in decision.reasons:
            return Step(kind=StepKind.LOGIN, error="access_denied", account=self.account, is_asked_again=True)
        if ENROLMENT_NEEDS_FACTOR in decision.reasons and (factors := gate.all_choices(self.ground)):
            return self._factor(factors)
        if "enrol" in self.ground.means.passes:
            return replace(step, reason=Reason(decision.reasons[0]), asks_pass=True)
        return self._deny(Reason.NO_FACTOR_ENROLLED)

    def _factor(self, factors: tuple[FactorChoice, ...]) -> Step:
        may_remember = gate.may_remember(self.place, self.ground)
        return Step(kind=StepKind.FACTOR, error="access_denied", account=self.account, factors=factors, may_remember=may_remember)

    def _deny(self, reason: Reason) -> Step:
        return Step(kind=StepKind.DENY, reason=reason, error="access_denied", account=self.account)

    def _missing(self, acr: tuple[str, ...]) -> Missing:
        return gate.still_missing(self.facts, self.judgement, self.account, self.place, acr)

    def _choices(self, acr: tuple[str, ...]) -> tuple[FactorChoice, ...]:
        return gate.choices(self.facts, self.judgement, self.ground, account=self.account, place=self.place, acr=acr)


def _unmet(facts: Facts) -> Step:
    """An essential acr that cannot be had (Core section 5.5.1.1, RFC 9470 section 5): the client is told, and no page could help."""
    reason = Reason.UNMET_AUTHENTICATION_REQUIREMENTS
    return Step(kind=StepKind.DENY, reason=reason, error=str(reason), must_redirect=True, account=facts.account)


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


def max_age_seconds(request: AuthorizationRequest, client: Client | None) -> int | None:
    """How old a sign-in may be that answers a request: what it says, else what its client is registered with; None: any age."""
    if request.max_age_seconds is not None:
        return request.max_age_seconds
    default = client.settings.default_max_age if client else None
    return None if default is None else int(default.total_seconds())


# The order is the promise: who, then whether they may, then with what, then where; the rules; then what the client gets.
_BEFORE: tuple[Callable[[Facts], Step | None], ...] = (
    _check_client,
    _check_assurance,
    _check_stranger,
    _check_person,
    _check_standing,
    _check_access,
    _check_password,
    _check_establishment,
)
_AFTER: tuple[Callable[[Facts], Step | None], ...] = (_check_session_limit, _check_consent)
