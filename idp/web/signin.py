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
from idp.signin.dispatch import Step, StepKind
from idp.signin.interaction import AuthorizationRequest, Interaction
from idp.signin.login import LoginRefused
from idp.signin.password_change import NewPassword, PasswordRefused
from idp.signin.signin import MOST_RESTARTS, application_url
from idp.web.http import Pages
from idp.web.step_page import StepView, Telling, show_step

NOTICES = {
    Reason.IDLE: "idle",
    Reason.ABSOLUTE_LIMIT: "absolute_limit",
    Reason.SIGNED_OUT: "signed_out",
    Reason.SIGNED_OUT_BY_APPLICATION: "signed_out",
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
        self._pages = pages
        self._signin = pages.rooms.signin
        self._id = interaction_id
        self._presence = pages.read_session()

    def show(self, *, error: str | None = None, status: int = 200) -> Response:
        """The page of the next Step, or the end of the sign-in."""
        interaction = self._load()
        if isinstance(interaction, Response):
            return interaction
        if self._presence.session is not None:
            self._signin.presences.touch(self._presence.session)
        step = self._answer(interaction)
        if step.kind is StepKind.FINISH:
            return self._finish(interaction, step)
        if step.must_redirect and step.error is not None:
            return self._refuse(interaction, step, step.reason or Reason.ACCESS_DENIED)
        return self._page(interaction, step, error=error, status=status)

    def act(self, act: str) -> Response:
        """Do what a form asks, if the present Step offers it (a form of an older page changes nothing); then back to the page."""
        interaction = self._load()
        if isinstance(interaction, Response):
            return interaction
        step = self._answer(interaction)
        if act == "cancel":
            return self._cancel(interaction, step)
        if act == "login" and interaction.proof is None:
            # Whatever the Session in this browser could answer: who types a password wants to be that person and nobody else.
            return self.login(interaction, replace(step, kind=StepKind.LOGIN)) or self._back_to_page()
        offered_at, do = ACTS.get(act, (None, None))
        if do is not None and step.kind is offered_at and (answer := do(self, interaction, step)) is not None:
            return answer
        return self._back_to_page()

    # What a form does; a Response when the page must be shown at once, with what was wrong

    def login(self, interaction: Interaction, step: Step) -> Response | None:
        """Identifier and password."""
        typed = request.form.get("identifier", "")
        around = self._signin.surroundings(interaction, self._presence.session, last_used_slug=self._pages.last_used_slug())
        try:
            self._signin.sign_in(
                interaction,
                typed,
                password=request.form.get("password", ""),
                establishment_id=around.establishment.id if around.establishment else None,
                origin=self._pages.origin(),
            )
        except LoginRefused as refused:
            if refused.told is not None:
                return self._page(interaction, step, error="not_usable", status=403, typed=typed, told=str(refused.told))
            if refused.is_unreachable:
                return self._page(interaction, step, error="directory_unreachable", status=503, typed=typed)
            if not refused.is_throttled:
                return self._page(interaction, step, error="wrong_credentials", status=403, typed=typed, tries_left=refused.tries_left)
            response = self._page(interaction, step, error="throttled", status=429, typed=typed, wait_minutes=refused.wait_minutes)
            if refused.wait:  # none when only an administrator can help
                response.headers["Retry-After"] = str(math.ceil(refused.wait.total_seconds()))
            return response
        return None

    def go_on(self, interaction: Interaction, step: Step) -> None:
        """The Session's person goes on."""
        self._signin.go_on_as_session(interaction)

    def other(self, interaction: Interaction, step: Step) -> None:
        """Somebody else signs in."""
        self._signin.sign_in_as_other(interaction)

    def establishment(self, interaction: Interaction, step: Step) -> None:
        """Where the person works now."""
        self._signin.choose_establishment(interaction, step, request.form.get("establishment", ""))

    def password(self, interaction: Interaction, step: Step) -> Response | None:
        """The forced change."""
        form = request.form
        new = NewPassword(
            typed=form.get("new_password", ""), repeated=form.get("confirm_password", ""), current=form.get("current_password", "")
        )
        try:
            self._signin.change_password(interaction, new, session=self._presence.session, origin=self._pages.origin())
        except PasswordRefused as refused:
            return self._page(interaction, step, problems=list(refused.problems), status=422)
        return None

    def close_session(self, interaction: Interaction, step: Step) -> None:
        """The earlier Session to close."""
        self._signin.close_earlier(interaction, step, request.form.get("session_id", ""))

    def consent(self, interaction: Interaction, step: Step) -> None:
        """The person agrees."""
        self._signin.consent(interaction)

    def back(self, interaction: Interaction, step: Step) -> Response | None:
        """Away from a refusal, to the application, which is told the refusal's own error."""
        return self._refuse(interaction, step, step.reason or Reason.ACCESS_DENIED)

    # How a request stands

    def _load(self) -> Interaction | Response:
        """The Interaction, or the answer to a request that has none: begun again by itself where that is possible."""
        browser = self._pages.known_browser()
        if browser is None:
            self._signin.record(EventType.SIGNIN_RESTARTED, Reason.INTERACTION_OF_ANOTHER_BROWSER, origin=self._pages.origin())
            return self._pages.error_page("loop", 400, retry_url="/account")
        try:
            return self._signin.load(self._id, browser, sign_outs=self._pages.sign_outs())
        except Refused as refused:
            reason = Reason(refused.reason)
        if reason is Reason.INTERACTION_OF_ANOTHER_BROWSER:
            self._signin.record(EventType.SIGNIN_RESTARTED, reason, origin=self._pages.origin())
            return self._pages.error_page(str(reason), 403)
        fresh = self._signin.restart(self._id, browser, origin=self._pages.origin())
        if fresh is not None:
            return self._pages.see_other(f"/signin/{fresh.id}")
        self._signin.record(EventType.SIGNIN_RESTARTED, reason, origin=self._pages.origin())
        leftover = self._signin.leftover(self._id)
        return self._pages.error_page(str(reason), 410, retry_url=leftover.application_url if leftover else "/account")

    def _back_to_page(self) -> Response:
        return self._pages.see_other(f"/signin/{self._id}")

    def _answer(self, interaction: Interaction) -> Step:
        return self._signin.answer(interaction, self._presence.session, self._pages.origin())

    # How a sign-in ends

    def _finish(self, interaction: Interaction, step: Step) -> Response:
        if step.finish is None or not self._signin.close(interaction):
            return self._back_to_page()
        pages, origin = self._pages, self._pages.origin()
        try:
            if interaction.request is None:
                _, token = self._signin.finish_here(step.finish, origin)
                response = pages.see_other(interaction.return_to)
                if token is not None:
                    pages.set_session_cookie(response, token)
            else:
                finished = pages.rooms.provider.finish(step.finish, origin)
                response = pages.send(finished.response, session_token=finished.session_token)
        except Refused as refused:
            return self._begin_again(interaction, Reason(refused.reason))
        except StoreUnavailable:
            # Nothing was written: the same page, loaded again, goes on from here.
            self._signin.reopen(interaction)
            raise
        pages.remember_establishment(step.establishment)
        if interaction.request is not None and interaction.proof is not None:
            self._forget_loop(interaction.request.client_id)
        return response

    def _forget_loop(self, client_id: str) -> None:
        """The sign-in is written and must be answered, whatever becomes of a counter."""
        try:
            self._signin.forget_loop(self._pages.browser_secret(), client_id)
        except StoreUnavailable as error:
            log.warning("loop_not_forgotten", request_id=self._pages.origin().request_id, detail=error.detail)

    def _over(self, request: AuthorizationRequest | None) -> Response:
        """This sign-in was ended before: by another tab, or before the ephemeral store lost what it knew."""
        self._signin.record(EventType.SIGNIN_RESTARTED, Reason.INTERACTION_EXPIRED, origin=self._pages.origin())
        return self._pages.error_page(str(Reason.INTERACTION_EXPIRED), 410, retry_url=application_url(request))

    def _begin_again(self, interaction: Interaction, reason: Reason) -> Response:
        """Something ended while the person was signing in: nothing was written, so ask again from the start."""
        pages = self._pages
        if reason is Reason.INTERACTION_EXPIRED:
            return self._over(interaction.request)
        if reason is Reason.REDIRECT_URI_MISMATCH:
            # Asking again would not help, and there is no address to go back to.
            self._signin.record(EventType.AUTHORIZATION_REFUSED, reason, interaction=interaction, origin=pages.origin())
            return pages.error_page(str(reason), 400)
        self._signin.record(EventType.SIGNIN_RESTARTED, reason, interaction=interaction, origin=pages.origin())
        if interaction.restarts >= MOST_RESTARTS:
            return pages.error_page(str(Reason.INTERACTION_EXPIRED), 410)
        fresh = self._signin.open(interaction.request, pages.browser_secret(), return_to=interaction.return_to)
        fresh = self._signin.keep(replace(fresh, restarts=interaction.restarts + 1))
        return pages.see_other(f"/signin/{fresh.id}")

    def _cancel(self, interaction: Interaction, step: Step) -> Response:
        if not self._signin.close(interaction):
            return self._back_to_page()
        self._signin.spend(interaction)
        self._signin.record_cancel(interaction, step, self._pages.origin())
        if interaction.request is None or (step.kind is StepKind.DENY and step.error is None):
            return self._pages.see_other("/help")
        answer = self._pages.rooms.provider.refuse(
            interaction.request,
            "access_denied",
            Reason.CANCELLED_BY_PERSON,
            origin=self._pages.origin(),
            account_id=step.account.id if step.account else None,
        )
        return self._pages.send(answer)

    def _refuse(self, interaction: Interaction, step: Step, reason: Reason) -> Response:
        if interaction.request is None or step.error is None or not self._signin.close(interaction):
            return self._back_to_page()
        self._signin.spend(interaction)
        answer = self._pages.rooms.provider.refuse(
            interaction.request,
            step.error,
            reason,
            origin=self._pages.origin(),
            account_id=step.account.id if step.account else None,
        )
        return self._pages.send(answer)

    def _page(self, interaction: Interaction, step: Step, **told: Any) -> Response:
        """The page of a Step; `told` are fields of Telling."""
        around = self._signin.surroundings(interaction, self._presence.session, last_used_slug=self._pages.last_used_slug())
        if step.kind is StepKind.DENY:
            self._signin.record_denial(interaction, step, self._pages.origin())
        response = show_step(self._pages, StepView(interaction, step, around, Telling(**told), notice=self._notice(interaction)))
        if self._presence.is_stale:
            self._pages.clear_session_cookie(response)
        return response

    def _notice(self, interaction: Interaction) -> str | None:
        if self._presence.ended is not None:
            return NOTICES.get(self._presence.ended, "ended")
        return "restarted" if interaction.restarts else None


Act = Callable[[Visit, Interaction, Step], Response | None]
# What each form does, and the Step that offers it.
ACTS: dict[str, tuple[StepKind, Act]] = {
    "go-on": (StepKind.SELECT_ACCOUNT, Visit.go_on),
    "other": (StepKind.SELECT_ACCOUNT, Visit.other),
    "establishment": (StepKind.CHOOSE_ESTABLISHMENT, Visit.establishment),
    "password": (StepKind.CHANGE_PASSWORD, Visit.password),
    "close-session": (StepKind.CLOSE_SESSION, Visit.close_session),
    "consent": (StepKind.CONSENT, Visit.consent),
    "back": (StepKind.DENY, Visit.back),
}
