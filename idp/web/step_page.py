"""What each Step looks like: its template, its texts' values, its status.

One function a kind, in a table. Decides nothing and writes nothing; called by signin.py only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response

from idp.audit import Reason
from idp.signin.interaction import Interaction
from idp.signin.signin import Surroundings
from idp.signin.step import Step, StepKind
from idp.web.chooser import Search, choose_among
from idp.web.description import describe_session
from idp.web.http import Pages
from idp.web.lock import Locked

UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What a page says beyond its Step: what went wrong with the form just sent. `wait_minutes` 0 means that waiting does not help.

    `told`: why the directory refuses somebody who typed the right password, as a reason code. `is_outside`: a wrong password was typed where
    strangers may type too.
    """

    status: int = 200
    error: str | None = None
    typed: str | None = None
    tries_left: int | None = None
    wait_minutes: int | None = None
    told: str | None = None
    is_outside: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepView:
    """A Step about to be shown. `notice` says why the person is asked at all (signin.html); `language` and `zone` are settled when it is shown.

    `passkey_options`: what the browser is asked for a passkey, where one is offered; `is_shared`: people follow one another at this machine.
    `providers`: the upstream providers offered (label, url), before the form when `providers_lead`; `upstream`: the label of the one that nothing
    came of, and the reason.
    `link_obstacle`: why who came by a provider cannot be the person of the Step.
    `may_forget`: whether a reset may be asked for on a page of ours, where they are.
    `locked`: whose Session is locked in this browser, and waits for them. `second`: what the page of a second proof needs (second_step.py). `search`:
    what was typed to find an establishment.
    """

    interaction: Interaction
    step: Step
    around: Surroundings
    told: Telling
    notice: str | None
    passkey_options: str | None = None
    providers: tuple[Mapping[str, str], ...] = ()
    providers_lead: bool = False
    upstream: Mapping[str, str] | None = None
    is_shared: bool = False
    may_forget: bool = False
    locked: Locked | None = None
    second: Mapping[str, Any] = field(default_factory=dict)
    search: Search = field(default_factory=Search)
    link_obstacle: Reason | None = None
    language: str = "fr"
    zone: ZoneInfo = UTC

    @property
    def path(self) -> str:
        """The page's own path."""
        return f"/signin/{self.interaction.id}"

    @property
    def has_client(self) -> bool:
        """Whether an application asked."""
        return self.interaction.request is not None

    @property
    def is_somebody_here(self) -> bool:
        """Whether the page is about a person already; a locked one's page says it in its own words."""
        return self.step.account is not None and self.locked is None

    @property
    def account_name(self) -> str:
        """The person, as far as known."""
        return self.step.account.name if self.step.account else ""


def show_step(pages: Pages, view: StepView) -> Response:
    """The page of a Step that asks something or denies."""
    # Who sits down next at a shared workstation in the middle of somebody's sign-in has one way out of it, on every page.
    is_somebodys = view.is_shared and view.is_somebody_here
    template, status, context = LOOKS[view.step.kind](
        replace(view, language=pages.speak(view.interaction), zone=pages.zone(view.around.establishment))
    )
    return pages.render(
        template,
        status=status,
        establishment=view.around.establishment,
        interaction=view.interaction,
        client_name=view.around.client_name,
        person_here={"name": view.account_name, "action": f"{view.path}/change-person"} if is_somebodys else None,
        **context,
    )


Look = tuple[str, int, dict[str, Any]]


def _login(view: StepView) -> Look:
    told = view.told
    context = {
        "action": f"{view.path}/login",
        "cancel_action": f"{view.path}/cancel" if view.has_client else None,
        "identifier": told.typed if told.typed is not None else _hinted_identifier(view),
        "error": told.error,
        "tries_left": told.tries_left,
        "is_outside": told.is_outside,
        "wait_minutes": told.wait_minutes,
        "told": told.told,
        "notice": view.notice,
        "passkey_action": f"{view.path}/passkey-login",
        "passkey_options": view.passkey_options,
        "providers": view.providers,
        "providers_lead": view.providers_lead,
        "upstream": view.upstream,
        "is_shared": view.is_shared,
        "forgotten": view.may_forget,
        "locked": view.locked,
        "unlock_action": f"{view.path}/unlock",
        "change_action": f"{view.path}/change-person",
    }
    return "signin.html", told.status, context


def _link(view: StepView) -> Look:
    """First the proof of the person's own side, then, with who they are, whether both are theirs."""
    pending = view.interaction.pending_link
    context = {
        "label": pending.label if pending else "",
        "shown_name": pending.shown_name if pending else "",
        "account_name": view.account_name,
        "is_proven": view.step.account is not None,
        "obstacle": str(view.link_obstacle) if view.link_obstacle else None,
        "pass_action": f"{view.path}/link-pass" if view.step.asks_pass else None,
        "error": view.told.error,
        "tries_left": view.told.tries_left,
        "wait_minutes": view.told.wait_minutes,
        "action": f"{view.path}/login",
        "confirm_action": f"{view.path}/link-confirm",
        "decline_action": f"{view.path}/link-decline",
        "cancel_action": f"{view.path}/cancel" if view.has_client else None,
        "providers": tuple(one for one in view.providers if pending is None or not one["url"].endswith(f"/upstream/{pending.connector}")),
        "passkey_action": f"{view.path}/passkey-login",
        "passkey_options": view.passkey_options,
        "is_shared": view.is_shared,
    }
    return "link.html", view.told.status, context


def _select_account(view: StepView) -> Look:
    actions = {"continue_action": f"{view.path}/go-on", "other_action": f"{view.path}/other"}
    return "select_account.html", view.told.status, {"account_name": view.account_name, **actions}


def _choose_establishment(view: StepView) -> Look:
    step = view.step
    chooser = choose_among(step.choices, view.search, suggested_id=step.suggested_id)
    return "choose_establishment.html", view.told.status, {"chooser": chooser, "page_path": view.path, **_actions(view, "establishment")}


def _change_password(view: StepView) -> Look:
    username = view.step.account.username if view.step.account else None
    proof = view.interaction.proof
    context = {
        "problems": list(view.told.problems),
        "username": username or view.account_name,
        "is_forced": True,
        "is_old": view.step.reason == Reason.PASSWORD_TOO_OLD,
        "asks_current": proof is not None and not proof.is_local,
        "is_shared": view.is_shared,
    }
    return "change_password.html", view.told.status, {**context, **_actions(view, "password")}


def _close_session(view: StepView) -> Look:
    sessions = [describe_session(session, view.language, view.zone) for session in view.step.sessions]
    return "close_session.html", view.told.status, {"sessions": sessions, **_actions(view, "close-session")}


def _factor(view: StepView) -> Look:
    return "factor.html", view.told.status, {**_second(view), **_actions(view, "factor")}


def _enrol(view: StepView) -> Look:
    return "enrol.html", view.told.status, {**_second(view), "later_action": None, "deadline": None, **_actions(view, "enrol")}


def _second(view: StepView) -> dict[str, Any]:
    told = view.told
    return {**view.second, "error": told.error, "tries_left": told.tries_left, "wait_minutes": told.wait_minutes}


def _consent(view: StepView) -> Look:
    return "consent.html", view.told.status, {"scopes": view.step.scopes, **_actions(view, "consent")}


def _deny(view: StepView) -> Look:
    reason = str(view.step.reason or Reason.NOTHING_SAID)
    if view.step.error is None:  # the client itself is in doubt: there is no way back to it
        return "error.html", 403, {"code": reason, "retry_url": None}
    return "denied.html", 403, {"reason": reason, "back_action": f"{view.path}/back" if view.has_client else None}


def _actions(view: StepView, act: str) -> dict[str, str]:
    return {"action": f"{view.path}/{act}", "cancel_action": f"{view.path}/cancel"}


def _hinted_identifier(view: StepView) -> str:
    """What the field holds beforehand: what the client says, else who was here (prompt=login, max_age); nobody where people follow one another."""
    if view.is_shared:
        return ""
    request, account = view.interaction.request, view.step.account
    if request is not None and request.login_hint:
        return request.login_hint[:254]
    return (account.username or account.email or "") if account else ""


LOOKS: dict[StepKind, Callable[[StepView], Look]] = {
    StepKind.LOGIN: _login,
    StepKind.LINK: _link,
    StepKind.SELECT_ACCOUNT: _select_account,
    StepKind.CHOOSE_ESTABLISHMENT: _choose_establishment,
    StepKind.CHANGE_PASSWORD: _change_password,
    StepKind.FACTOR: _factor,
    StepKind.ENROL: _enrol,
    StepKind.CLOSE_SESSION: _close_session,
    StepKind.CONSENT: _consent,
    StepKind.DENY: _deny,
}
