"""/reset: what a person does with the two halves that the desk has handed out: giving them, the factor that is left, and a password of their own.

Owns the pages; idp/desk/redemption.py judges. A factor is added inside an ordinary sign-in (second_step.py), which begins here. No link of ours leads
here from a mail, and nothing here needs JavaScript, passkeys apart.
"""

import math
from collections.abc import Callable

from flask import Blueprint, Response, request

from idp.audit import Reason
from idp.desk.marks import Marks
from idp.desk.redeemed import Opened
from idp.desk.redemption import RedemptionRefused
from idp.signin.ceremony import Tie
from idp.signin.devices import read_secrets
from idp.signin.factor import FactorProof, FactorRefused
from idp.signin.gate import FactorChoice
from idp.signin.password_change import PasswordRefused
from idp.signin.second_factors import TYPED_KINDS
from idp.store.base import Account
from idp.web import passkeys
from idp.web.account import begin_sign_in
from idp.web.http import Pages
from idp.web.second_step import SENT_KINDS

HOME = "/reset"
LONGEST_TYPED = 60
View = Callable[[Pages, Opened, Account], Response]


def reset_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("reset", __name__, url_prefix=HOME)
    blueprint.get("", endpoint="get_halves")(lambda: _begin(pages))
    blueprint.post("", endpoint="post_halves")(lambda: _give_halves(pages))
    blueprint.get("/factor", endpoint="get_factor")(lambda: _going_on(pages, _factor_page))
    blueprint.post("/factor", endpoint="post_factor")(lambda: _going_on(pages, _give_factor))
    blueprint.post("/way", endpoint="post_way")(lambda: _going_on(pages, _choose_way))
    blueprint.post("/send-code", endpoint="post_send_code")(lambda: _going_on(pages, _send_code))
    blueprint.get("/password", endpoint="get_password")(lambda: _going_on(pages, _password_page))
    blueprint.post("/password", endpoint="post_password")(lambda: _going_on(pages, _choose_password))
    blueprint.get("/enrol", endpoint="get_enrol")(lambda: _going_on(pages, _begin_enrolment))
    blueprint.get("/done", endpoint="get_done")(lambda: pages.render("reset_done.html", establishment=pages.last_used_establishment()))
    blueprint.post("/cancel", endpoint="post_cancel")(lambda: pages.see_other("/account"))
    return blueprint


def marks_of(pages: Pages) -> Marks:
    """By what this browser is known to the desk, and whose Session it holds."""
    session = pages.read_session().session
    secrets = read_secrets(request.cookies.get(pages.device_cookie))
    accounts = (session.account_id,) if session is not None else ()
    return Marks.of(pages.known_browser(), secrets, pages.rooms.keyring, account_ids=accounts)


# The halves


def _begin(pages: Pages) -> Response:
    """The halves; or where whoever has given them was, after a page that went wrong."""
    opened = pages.rooms.desk.redemption.current(pages.known_browser())
    return _ask_halves(pages) if opened is None else pages.see_other(_next(opened))


def _ask_halves(pages: Pages, *, error: str | None = None, status: int = 200, wait_minutes: int = 0) -> Response:
    return pages.render(
        "reset.html",
        status=status,
        establishment=pages.last_used_establishment(),
        error=error,
        spoken=request.form.get("spoken", "")[:LONGEST_TYPED],
        wait_minutes=wait_minutes,
    )


def _give_halves(pages: Pages) -> Response:
    form = request.form
    try:
        opened = pages.rooms.desk.redemption.redeem(
            form.get("spoken", ""), form.get("sent", ""), browser=pages.browser_secret(), marks=marks_of(pages), origin=pages.origin()
        )
    except RedemptionRefused as refused:
        if refused.wait:
            response = _ask_halves(pages, error="throttled", status=429, wait_minutes=math.ceil(refused.wait.total_seconds() / 60))
            response.headers["Retry-After"] = str(math.ceil(refused.wait.total_seconds()))
            return response
        return _ask_halves(pages, error="not_here" if refused.is_shown else "wrong", status=403)
    return pages.see_other(_next(opened))


def _next(opened: Opened) -> str:
    """Where the person goes on."""
    if opened.may_enrol:
        return f"{HOME}/enrol"
    return f"{HOME}/password" if opened.may_choose else f"{HOME}/factor"


def _going_on(pages: Pages, view: View) -> Response:
    """A view for a browser in which both halves were given; anybody else begins with them."""
    opened = pages.rooms.desk.redemption.current(pages.known_browser())
    if opened is None:
        return _ask_halves(pages, error="over" if request.method == "POST" else None, status=410 if request.method == "POST" else 200)
    with pages.rooms.database.read() as tx:
        account = tx.people.get(opened.account_id)
    if account is None:
        return _ask_halves(pages, error="over", status=410)
    return view(pages, opened, account)


# What was not reset


def _factor_page(
    pages: Pages, opened: Opened, account: Account, *, refused: FactorRefused | None = None, way: str | None = None
) -> Response:
    if opened.may_choose or opened.may_enrol:
        return pages.see_other(_next(opened))
    choices, codes = _choices(pages, account), pages.rooms.signin.sent_codes.codes
    choice = _chosen(choices, way if way is not None else request.args.get("way", ""))
    options = None
    if choice is not None and choice.kind == "passkey":
        options = pages.rooms.signin.passkeys.begin_assertion(account.id, _tie(pages, opened))
    is_open = True
    if choice is not None and choice.kind in SENT_KINDS:
        is_open = codes.sent(account.id, pages.rooms.signin.factor(account.id, choice.factor_id)) is not None
    is_stopped = refused is not None and refused.reason in {Reason.THROTTLED, Reason.FACTOR_BLOCKED, Reason.CODE_TOO_SOON}
    query = f"?way={_value(choice)}" if choice is not None else ""
    response = pages.render(
        "factor.html",
        status=429 if is_stopped else 403 if refused is not None else 200,
        establishment=pages.last_used_establishment(),
        action=f"{HOME}/factor{query}",
        cancel_action=f"{HOME}/cancel",
        kind=choice.kind if choice else None,
        label=choice.label if choice else "",
        hint=choice.hint if choice else "",
        options=options,
        others=[
            {"value": _value(one), "kind": one.kind, "label": one.label, "hint": one.hint}
            for one in choices
            if choice is None or _value(one) != _value(choice)
        ],
        switch_action=f"{HOME}/way",
        is_open=is_open,
        resend_action=f"{HOME}/send-code{query}" if choice is not None and choice.kind in SENT_KINDS else None,
        remember_days=0,
        skip_action=None,
        client_name=None,
        error=str(refused.reason) if refused is not None else None,
        tries_left=refused.tries_left if refused is not None else None,
        wait_minutes=refused.wait_minutes if refused is not None else 0,
    )
    if refused is not None and refused.wait:
        response.headers["Retry-After"] = str(math.ceil(refused.wait.total_seconds()))
    return response


def _give_factor(pages: Pages, opened: Opened, account: Account) -> Response:
    choice = _chosen(_choices(pages, account), request.args.get("way", ""))
    if choice is None or opened.may_choose or opened.may_enrol:
        return pages.see_other(_next(opened))
    try:
        _prove(pages, opened, account, choice)
    except FactorRefused as refused:
        return _factor_page(pages, opened, account, refused=refused, way=_value(choice))
    given = pages.rooms.desk.redemption.note_factor(pages.browser_secret(), opened)
    return pages.see_other(_next(given))


def _prove(pages: Pages, opened: Opened, account: Account, choice: FactorChoice) -> FactorProof:
    signin, origin, typed = pages.rooms.signin, pages.origin(), request.form.get("code", "")
    if choice.kind == "passkey":
        return signin.passkeys.finish_assertion(account.id, passkeys.answered(), _tie(pages, opened), origin=origin)
    if choice.kind in TYPED_KINDS:
        return signin.second_factors.prove(choice.kind, account.id, typed, origin=origin, factor_id=choice.factor_id)
    return signin.sent_codes.codes.prove(account.id, signin.factor(account.id, choice.factor_id), typed, origin=origin)


def _choose_way(pages: Pages, opened: Opened, account: Account) -> Response:
    wanted = request.form.get("way", "")
    choice = next((one for one in _choices(pages, account) if _value(one) == wanted), None)
    if choice is None:
        return pages.see_other(f"{HOME}/factor")
    return _send(pages, opened, account, choice)


def _send_code(pages: Pages, opened: Opened, account: Account) -> Response:
    choice = _chosen(_choices(pages, account), request.args.get("way", ""))
    return _send(pages, opened, account, choice) if choice is not None else pages.see_other(f"{HOME}/factor")


def _send(pages: Pages, opened: Opened, account: Account, choice: FactorChoice) -> Response:
    """To the page of a way; one that needs a message has it sent first."""
    if choice.kind in SENT_KINDS and not opened.may_choose:
        try:
            pages.rooms.signin.sent_codes.codes.send(
                account.id,
                pages.rooms.signin.factor(account.id, choice.factor_id),
                pages.origin(),
                language="en" if pages.speak() == "en" else "fr",
                establishment_id=account.last_establishment_id,
            )
        except FactorRefused as refused:
            return _factor_page(pages, opened, account, refused=refused, way=_value(choice))
    return pages.lead(f"{HOME}/factor", way=_value(choice))


def _choices(pages: Pages, account: Account) -> tuple[FactorChoice, ...]:
    """What the person still has, the best first: what serves as a second factor, and the paper that stands for one."""
    order = ("passkey", "totp", "sms")
    with pages.rooms.database.read() as tx:
        enrolled = [one for one in tx.factors.open_of(account.id) if one.kind in order]
        codes_left = tx.recovery_codes.left(account.id)
    found = [FactorChoice(one.kind, one.id, one.label, one.hint) for one in sorted(enrolled, key=lambda one: order.index(one.kind))]
    return (*found, *((FactorChoice("recovery"),) if codes_left and found else ()))


def _chosen(choices: tuple[FactorChoice, ...], wanted: str) -> FactorChoice | None:
    """The way that was asked for, else the best that sends nothing."""
    chosen = next((one for one in choices if _value(one) == wanted), None)
    return chosen or next((one for one in choices if one.kind not in SENT_KINDS and (one.kind != "recovery" or len(choices) == 1)), None)


def _value(choice: FactorChoice) -> str:
    return choice.factor_id or choice.kind


def _tie(pages: Pages, opened: Opened) -> Tie:
    return Tie(pages.browser_secret(), f"reset {opened.reset_id}")


# A password of their own, and a factor of their own


def _password_page(pages: Pages, opened: Opened, account: Account, *, problems: tuple[str, ...] = (), status: int = 200) -> Response:
    if not opened.may_choose:
        return pages.see_other(_next(opened))
    return pages.render(
        "change_password.html",
        status=status,
        establishment=pages.last_used_establishment(),
        action=f"{HOME}/password",
        cancel_action=None,
        problems=list(problems),
        username=account.username or account.email or account.name,
        is_forced=True,
        is_old=False,
        is_reset=True,
        asks_current=False,
        is_shared=pages.is_shared_use(),
    )


def _choose_password(pages: Pages, opened: Opened, account: Account) -> Response:
    if not opened.may_choose:
        return pages.see_other(_next(opened))
    form = request.form
    try:
        left = pages.rooms.desk.redemption.choose_password(
            opened, form.get("new_password", ""), form.get("confirm_password", ""), browser=pages.browser_secret(), origin=pages.origin()
        )
    except PasswordRefused as refused:
        return _password_page(pages, opened, account, problems=refused.problems, status=429 if "throttled" in refused.problems else 422)
    return pages.see_other(f"{HOME}/done" if left is None else _next(left))


def _begin_enrolment(pages: Pages, opened: Opened, _account: Account) -> Response:
    """By a sign-in: with the password that they still have, or that they have just chosen."""
    if not opened.may_enrol:
        return pages.see_other(_next(opened))
    return begin_sign_in(pages, "/account", step_up="enrol")
