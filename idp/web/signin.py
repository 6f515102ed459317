"""The sign-in pages: GET /signin/<id> shows the one Step's page, POST /signin/<id>/<act> acts and goes back there.

Owns which page and which status; every decision is the dispatcher's. A sign-in ends on a GET, so that a form sent twice does not end it twice.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import structlog
from flask import Blueprint, Response, request

from idp.audit import EventType, Reason
from idp.errors import Refused, StoreUnavailable
from idp.signin.factor import FactorRefused
from idp.signin.interaction import AuthorizationRequest, Interaction
from idp.signin.login import LoginRefused
from idp.signin.password_change import NewPassword, PasswordRefused
from idp.signin.signin import MOST_RESTARTS, application_url
from idp.signin.step import Step, StepKind
from idp.web import departures, passkeys, windows
from idp.web.account import begin_sign_in
from idp.web.chooser import read_search
from idp.web.http import Pages
from idp.web.lock import locked_page
from idp.web.second_step import FACTOR_ACTS, FACTOR_PAGES, use_reset_pass
from idp.web.step_page import StepView, Telling, show_step

NOTICES = {
    Reason.IDLE: "idle",
    Reason.ABSOLUTE_LIMIT: "absolute_limit",
    Reason.SIGNED_OUT: "signed_out",
    Reason.SIGNED_OUT_BY_APPLICATION: "signed_out",
    Reason.PERSON_CHANGED: "person_changed",
    Reason.UPSTREAM_LAPSED: "upstream_lapsed",
    Reason.DIRECTORY_DISABLED: "account_closed",
    Reason.DIRECTORY_EXPIRED: "account_closed",
    Reason.DIRECTORY_GONE: "account_closed",
    Reason.DIRECTORY_OUT_OF_SCOPE: "account_closed",
}

log = structlog.get_logger(__name__)


def signin_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("signin", __name__, url_prefix="/signin")

    @blueprint.get("/<interaction_id>")
    def show(interaction_id: str) -> Response:
        return Visit(pages, interaction_id).show()

    @blueprint.get("/<interaction_id>/<_act>")
    def reload(interaction_id: str, _act: str) -> Response:
        # A page that was answered to a POST, loaded again or asked in the other language.
        asked = request.args.get("lang", "")
        return pages.see_other(f"/signin/{quote(interaction_id, safe='')}" + (f"?lang={asked}" if pages.languages.speaks(asked) else ""))

    @blueprint.get("/<interaction_id>/upstream/<provider>")
    def depart(interaction_id: str, provider: str) -> Response:
        # A link and no form: where a provider sends people on to, we cannot know, and form-action would have to name it.
        return Visit(pages, interaction_id).leave_for(provider)

    @blueprint.post("/<interaction_id>/<act>")
    def act(interaction_id: str, act: str) -> Response:
        return Visit(pages, interaction_id).act(act)

    return blueprint


def recover_form(pages: Pages) -> Response | None:
    """What to answer to a form of ours whose token is missing or stale: the same page again, with a fresh one. None when it is another page's."""
    if request.endpoint != "signin.act":
        return None
    return Visit(pages, str((request.view_args or {})["interaction_id"])).show(error="form_expired", status=400)


class Visit:
    """One request to a sign-in page."""

    def __init__(self, pages: Pages, interaction_id: str) -> None:
        self.pages = pages
        self.rooms = pages.rooms
        self.signin = pages.rooms.signin
        self.id = interaction_id
        self.presence = pages.read_session()

    def show(self, *, error: str | None = None, status: int = 200) -> Response:
        """The page of the next Step, or the end of the sign-in."""
        interaction = self._load()
        if isinstance(interaction, Response):
            return interaction
        if self.presence.session is not None:
            self.signin.presences.touch(self.presence.session)
        step = self._answer(interaction)
        if (opened := use_reset_pass(self, interaction, step)) is not None:
            interaction, step = opened, self._answer(opened)
        if step.kind is StepKind.FINISH:
            return self._finish(interaction, step)
        if step.must_redirect and step.error is not None:
            return self._refuse(interaction, step, step.reason or Reason.ACCESS_DENIED)
        if error is None and (led := departures.lead(self, interaction, step)) is not None:
            return led
        if error is None and (asked := windows.ask(self, interaction, step)) is not None:
            return asked
        return self.page(interaction, step, error=error, status=status)

    def leave_for(self, provider: str) -> Response:
        """To an upstream provider, by its button."""
        interaction = self._load()
        if isinstance(interaction, Response):
            return interaction
        return departures.leave(self, interaction, self._answer(interaction), provider) or self.back_to_page()

    def act(self, act: str) -> Response:
        """Do what a form asks, if the present Step offers it (a form of an older page changes nothing); then back to the page."""
        interaction = self._load()
        if isinstance(interaction, Response):
            return interaction
        step = self._answer(interaction)
        if act == "cancel":
            return self._cancel(interaction, step)
        if act == "change-person":
            return self._change_person(interaction)
        if act in FIRST_PROOFS and (interaction.proof is None or step.kind is StepKind.LOGIN):
            # Whatever the Session in this browser could answer: who types a password wants to be that person and nobody else.
            return FIRST_PROOFS[act](self, interaction, replace(step, kind=StepKind.LOGIN)) or self.back_to_page()
        offered_at, do = ACTS.get(act, (None, None))
        if do is not None and step.kind is offered_at and (answer := do(self, interaction, step)) is not None:
            return answer
        return self.back_to_page()

    # What a form does; a Response when the page must be shown at once, with what was wrong

    def login(self, interaction: Interaction, step: Step) -> Response | None:
        """Identifier and password."""
        typed = request.form.get("identifier", "")
        return departures.leave_by_identifier(self, interaction, step, typed) or self._try_password(interaction, step, typed)

    def unlock(self, interaction: Interaction, step: Step) -> Response | None:
        """The password of the person whose Session is locked."""
        locked = locked_page(self.pages, self.presence.session, step)
        return self._try_password(interaction, step, locked.identifier) if locked is not None else None

    def _try_password(self, interaction: Interaction, step: Step, typed: str) -> Response | None:
        around = self.signin.surroundings(interaction, self.presence.session, last_used_slug=self.pages.last_used_slug())
        try:
            moved = self.signin.sign_in(
                interaction,
                typed,
                password=request.form.get("password", ""),
                establishment_id=around.establishment.id if around.establishment else None,
                visitor=self.pages.visitor(),
            )
        except LoginRefused as refused:
            if refused.told is not None:
                return self.page(interaction, step, error="not_usable", status=403, typed=typed, told=str(refused.told))
            if refused.is_unreachable:
                return self.page(interaction, step, error="directory_unreachable", status=503, typed=typed)
            if not refused.is_throttled:
                tries = {"tries_left": refused.tries_left, "is_outside": refused.is_outside}
                return self.page(interaction, step, error="wrong_credentials", status=403, typed=typed, **tries)
            response = self.page(interaction, step, error="throttled", status=429, typed=typed, wait_minutes=refused.wait_minutes)
            if refused.wait:  # none when only an administrator can help
                response.headers["Retry-After"] = str(math.ceil(refused.wait.total_seconds()))
            return response
        self._take_over(moved)
        return None

    def login_with_passkey(self, interaction: Interaction, step: Step) -> Response | None:
        """A passkey, and neither identifier nor password."""
        try:
            moved = self.signin.sign_in_with_passkey(
                interaction, passkeys.answered(), passkeys.tie_to_interaction(self.pages, interaction), origin=self.pages.origin()
            )
        except FactorRefused as refused:
            return self.page(interaction, step, error="passkey", status=503 if refused.is_unreachable else 403, told=refused.reason)
        self._take_over(moved)
        return None

    def go_on(self, interaction: Interaction, step: Step) -> None:
        """The Session's person goes on."""
        self.signin.answers.go_on_as_session(interaction)

    def other(self, interaction: Interaction, step: Step) -> None:
        """Somebody else signs in."""
        self.signin.answers.sign_in_as_other(interaction)

    def establishment(self, interaction: Interaction, step: Step) -> None:
        """Where the person works now."""
        self.signin.answers.choose_establishment(interaction, step, request.form.get("establishment", ""))

    def password(self, interaction: Interaction, step: Step) -> Response | None:
        """The forced change."""
        form = request.form
        new = NewPassword(
            typed=form.get("new_password", ""), repeated=form.get("confirm_password", ""), current=form.get("current_password", "")
        )
        try:
            self.signin.change_password(interaction, new, session=self.presence.session, origin=self.pages.origin())
        except PasswordRefused as refused:
            return self.page(interaction, step, problems=list(refused.problems), status=422)
        return None

    def confirm_link(self, interaction: Interaction, step: Step) -> None:
        """Who came by a provider is the person of this sign-in."""
        self.signin.answers.confirm_link(interaction, step)

    def decline_link(self, interaction: Interaction, step: Step) -> None:
        """Who came by a provider is somebody else."""
        self.signin.answers.decline_link(interaction)

    def close_session(self, interaction: Interaction, step: Step) -> None:
        """The earlier Session to close."""
        self.signin.answers.close_earlier(interaction, step, request.form.get("session_id", ""))

    def consent(self, interaction: Interaction, step: Step) -> None:
        """The person agrees."""
        self.signin.answers.consent(interaction)

    def back(self, interaction: Interaction, step: Step) -> Response | None:
        """Away from a refusal, to the application, which is told the refusal's own error."""
        return self._refuse(interaction, step, step.reason or Reason.ACCESS_DENIED)

    def _take_over(self, moved: Interaction) -> None:
        """Somebody else than the person of a shared or locked Session has shown who they are: that one ends first, with its applications."""
        self.pages.take_over(moved)

    def _change_person(self, interaction: Interaction) -> Response:
        """The next person begins where the former was, without anything that the former had answered."""
        self.pages.change_person(self.presence.session)
        if interaction.request is None:
            return begin_sign_in(self.pages, "/account")
        self.signin.answers.begin_anew(interaction)
        return self.back_to_page()

    # How a request stands

    def _load(self) -> Interaction | Response:
        """The Interaction, or the answer to a request that has none: begun again by itself where that is possible."""
        browser = self.pages.known_browser()
        if browser is None:
            self.signin.trail.record(EventType.SIGNIN_RESTARTED, Reason.INTERACTION_OF_ANOTHER_BROWSER, origin=self.pages.origin())
            return self.pages.error_page("loop", 400, retry_url="/account")
        try:
            return self.signin.load(self.id, browser, sign_outs=self.pages.sign_outs())
        except Refused as refused:
            reason = Reason(refused.reason)
        if reason is Reason.INTERACTION_OF_ANOTHER_BROWSER:
            self.signin.trail.record(EventType.SIGNIN_RESTARTED, reason, origin=self.pages.origin())
            return self.pages.error_page(str(reason), 403)
        fresh = self.signin.restart(self.id, browser, origin=self.pages.origin())
        if fresh is not None:
            return self.pages.see_other(f"/signin/{fresh.id}")
        self.signin.trail.record(EventType.SIGNIN_RESTARTED, reason, origin=self.pages.origin())
        leftover = self.signin.leftover(self.id)
        return self.pages.error_page(str(reason), 410, retry_url=leftover.application_url if leftover else "/account")

    def back_to_page(self) -> Response:
        """To the page of the next Step."""
        return self.pages.see_other(f"/signin/{self.id}")

    def _answer(self, interaction: Interaction) -> Step:
        return self.signin.answer(interaction, self.presence.session, self.pages.visitor())

    # How a sign-in ends

    def _finish(self, interaction: Interaction, step: Step) -> Response:
        if step.finish is None or not self.signin.close(interaction):
            return self.back_to_page()
        pages, origin = self.pages, self.pages.origin()
        try:
            if interaction.request is None:
                response = pages.keep(pages.see_other(interaction.return_to), self.signin.finish_here(step.finish, origin))
            else:
                finished = pages.rooms.provider.finish(step.finish, origin)
                response = pages.send(finished.response, written=finished.written)
        except Refused as refused:
            return self._begin_again(interaction, Reason(refused.reason))
        except StoreUnavailable:
            # Nothing was written: the same page, loaded again, goes on from here.
            self.signin.reopen(interaction)
            raise
        pages.remember_establishment(step.establishment)
        if interaction.proof is not None:
            is_upstream = self.signin.upstreams.providers.get(interaction.proof.connector) is not None
            pages.remember_provider(interaction.proof.connector if is_upstream else None)
        if interaction.request is not None and interaction.proof is not None:
            self._forget_loop(interaction.request.client_id)
        return response

    def _forget_loop(self, client_id: str) -> None:
        """The sign-in is written and must be answered, whatever becomes of a counter."""
        try:
            self.signin.forget_loop(self.pages.browser_secret(), client_id)
        except StoreUnavailable as error:
            log.warning("loop_not_forgotten", request_id=self.pages.origin().request_id, detail=error.detail)

    def _over(self, request: AuthorizationRequest | None) -> Response:
        """This sign-in was ended before: by another tab, or before the ephemeral store lost what it knew."""
        self.signin.trail.record(EventType.SIGNIN_RESTARTED, Reason.INTERACTION_EXPIRED, origin=self.pages.origin())
        return self.pages.error_page(str(Reason.INTERACTION_EXPIRED), 410, retry_url=application_url(request))

    def _begin_again(self, interaction: Interaction, reason: Reason) -> Response:
        """Something ended while the person was signing in: nothing was written, so ask again from the start."""
        pages = self.pages
        if reason is Reason.INTERACTION_EXPIRED:
            return self._over(interaction.request)
        if reason is Reason.REDIRECT_URI_MISMATCH:
            # Asking again would not help, and there is no address to go back to.
            self.signin.trail.record(EventType.AUTHORIZATION_REFUSED, reason, interaction=interaction, origin=pages.origin())
            return pages.error_page(str(reason), 400)
        self.signin.trail.record(EventType.SIGNIN_RESTARTED, reason, interaction=interaction, origin=pages.origin())
        if interaction.restarts >= MOST_RESTARTS:
            return pages.error_page(str(Reason.INTERACTION_EXPIRED), 410)
        fresh = self.signin.open(interaction.request, pages.browser_secret(), return_to=interaction.return_to, step_up=interaction.step_up)
        fresh = self.signin.keep(replace(fresh, restarts=interaction.restarts + 1))
        return pages.see_other(f"/signin/{fresh.id}")

    def _cancel(self, interaction: Interaction, step: Step) -> Response:
        if not self.signin.close(interaction):
            return self.back_to_page()
        self.signin.spend(interaction)
        self.signin.trail.record_cancel(interaction, step, self.pages.origin())
        if interaction.request is None or (step.kind is StepKind.DENY and step.error is None):
            return self.pages.see_other("/help")
        answer = self.pages.rooms.provider.refuse(
            interaction.request,
            "access_denied",
            Reason.CANCELLED_BY_PERSON,
            origin=self.pages.origin(),
            account_id=step.account.id if step.account else None,
        )
        return self.pages.send(answer)

    def _refuse(self, interaction: Interaction, step: Step, reason: Reason) -> Response:
        if interaction.request is None or step.error is None or not self.signin.close(interaction):
            return self.back_to_page()
        self.signin.spend(interaction)
        answer = self.pages.rooms.provider.refuse(
            interaction.request,
            step.error,
            reason,
            origin=self.pages.origin(),
            account_id=step.account.id if step.account else None,
        )
        return self.pages.send(answer)

    def page(self, interaction: Interaction, step: Step, **told: Any) -> Response:
        """The page of a Step; `told` are fields of Telling."""
        around = self.signin.surroundings(interaction, self.presence.session, last_used_slug=self.pages.last_used_slug())
        if step.kind is StepKind.DENY:
            self.signin.trail.record_denial(interaction, step, self.pages.origin())
        second = FACTOR_PAGES[step.kind](self, interaction, step) if step.kind in FACTOR_PAGES else {}
        view = StepView(interaction, step, around, Telling(**told), notice=self._notice(interaction), second=second)
        view = replace(view, is_shared=self.pages.is_shared_use(), search=read_search())
        if step.kind is StepKind.LOGIN:
            locked = locked_page(self.pages, self.presence.session, step)
            view = replace(view, passkey_options=passkeys.ask_sign_in(self.pages, interaction), locked=locked)
            view = replace(view, may_forget=self.rooms.desk.forgotten.is_open(around.establishment))
            view = replace(view, **departures.offers(self, interaction, around))
        if step.kind is StepKind.LINK:
            view = replace(view, link_obstacle=self.signin.link_obstacle(interaction, step))
            if step.reason is not None:
                self.signin.trail.record_link_refusal(interaction, step, self.pages.origin())
            if step.account is None:
                view = replace(view, passkey_options=passkeys.ask_sign_in(self.pages, interaction))
                view = replace(view, **departures.offers(self, interaction, around))
        response = show_step(self.pages, view)
        if self.presence.is_stale:
            self.pages.clear_session_cookie(response)
        return response

    def _notice(self, interaction: Interaction) -> str | None:
        if self.presence.ended is not None:
            return NOTICES.get(self.presence.ended, "ended")
        return "restarted" if interaction.restarts else None


Act = Callable[[Visit, Interaction, Step], Response | None]
FIRST_PROOFS: dict[str, Act] = {"login": Visit.login, "unlock": Visit.unlock, "passkey-login": Visit.login_with_passkey}
# What each form does, and the Step that offers it.
ACTS: dict[str, tuple[StepKind, Act]] = {
    "go-on": (StepKind.SELECT_ACCOUNT, Visit.go_on),
    "other": (StepKind.SELECT_ACCOUNT, Visit.other),
    "establishment": (StepKind.CHOOSE_ESTABLISHMENT, Visit.establishment),
    "password": (StepKind.CHANGE_PASSWORD, Visit.password),
    "link-confirm": (StepKind.LINK, Visit.confirm_link),
    "link-decline": (StepKind.LINK, Visit.decline_link),
    "close-session": (StepKind.CLOSE_SESSION, Visit.close_session),
    "consent": (StepKind.CONSENT, Visit.consent),
    "back": (StepKind.DENY, Visit.back),
    **FACTOR_ACTS,
}
