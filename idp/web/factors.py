"""/account/factors: my second factors: what there is, adding an authenticator application, new recovery codes, names, removal.

Owns the pages; the acts are in idp/signin/{own_factors,enrolment,totp,recovery}.py. A passkey and a code that is sent are added on pages of their
own. What needs a proof that is not there leads to a sign-in that asks for it and comes back.
"""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from idp.audit import Reason
from idp.errors import Refused
from idp.signin.enrolment import EnrolmentRefused
from idp.signin.factor import FactorRefused
from idp.signin.own_factors import FactorOverview
from idp.signin.totp import Offer
from idp.store.base import Factor, Session
from idp.web.account import begin_sign_in, signed_in, way_back
from idp.web.description import describe_day, describe_instant
from idp.web.http import Pages

HOME = "/account/factors"
NOTICES = frozenset({"factor_added", "factor_removed", "factor_renamed"})
PROBLEMS = frozenset(
    {
        Reason.ENROLMENT_NEEDS_PASS,
        Reason.ENROLMENT_NEEDS_TRUSTED_ZONE,
        Reason.ENROLMENT_SHARED_ZONE,
        Reason.ENROLMENT_SIGN_IN_TOO_OLD,
        Reason.ENROLMENT_NEEDS_FACTOR,
        Reason.TOO_MANY_FACTORS,
        Reason.LAST_FACTOR_NEEDED,
        Reason.NO_SUCH_FACTOR,
    }
)
# A pass opens these; the others want a fresh proof.
OPENED_BY_PASS = frozenset({Reason.ENROLMENT_NEEDS_PASS, Reason.ENROLMENT_NEEDS_TRUSTED_ZONE, Reason.ENROLMENT_SHARED_ZONE})
STEP_UPS = {Reason.ENROLMENT_SIGN_IN_TOO_OLD: "sign_in", Reason.ENROLMENT_NEEDS_FACTOR: "second_factor"}


def factor_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("factors", __name__, url_prefix=HOME)
    blueprint.get("")(signed_in(pages, _show))
    blueprint.get("/confirm")(signed_in(pages, _confirm))
    blueprint.post("/pass")(signed_in(pages, _show_pass))
    blueprint.get("/totp")(signed_in(pages, _offer_totp))
    blueprint.post("/totp")(signed_in(pages, _add_totp))
    blueprint.post("/codes")(signed_in(pages, _renew_codes))
    blueprint.get("/rename")(signed_in(pages, _ask_name))
    blueprint.post("/rename")(signed_in(pages, _rename))
    blueprint.get("/remove")(signed_in(pages, _ask_removal))
    blueprint.post("/remove")(signed_in(pages, _remove))
    blueprint.post("/cancel")(lambda: pages.see_other(HOME))
    return blueprint


def back_to_factors(pages: Pages, *, done: str | None = None, problem: str | None = None) -> Response:
    """To the list, with what was done or why it was not."""
    query = f"?done={done}" if done else f"?problem={problem}" if problem else ""
    return pages.see_other(HOME + query)


def show_codes(pages: Pages, session: Session) -> Response:
    """New recovery codes, in the answer to the form that made them: they are shown nowhere else."""
    factors = pages.rooms.signin.second_factors
    codes = factors.recovery.renew(session.account_id, pages.origin(), session_id=session.id)
    seen = factors.own.overview(session, pages.visitor())
    return pages.render(
        "recovery_codes.html",
        establishment=seen.active,
        codes=codes,
        username=seen.account.username or seen.account.name,
        made=describe_day(pages.rooms.clock.now().astimezone(pages.zone(seen.active)).date(), pages.speak()),
        continue_url=HOME,
    )


def factor_added(pages: Pages, session: Session) -> Response:
    """After an addition: recovery codes for who has none left and a factor to recover from, else the list."""
    left = pages.rooms.signin.second_factors.recovery.left(session.account_id)
    if left.may_renew and left.count == 0:
        return show_codes(pages, session)
    return back_to_factors(pages, done="factor_added")


def obstacle_page(pages: Pages, obstacle: Reason) -> Response:
    """What to answer to somebody who may not add a factor now."""
    if obstacle in STEP_UPS:
        return begin_sign_in(pages, way_back() if request.method == "GET" else HOME, step_up=STEP_UPS[obstacle])
    return back_to_factors(pages, problem=str(obstacle))


def offered_kinds(pages: Pages) -> tuple[str, ...]:
    """The kinds of factors that a person may add here."""
    config = pages.rooms.config
    possible = {
        "passkey": pages.rooms.signin.passkeys.is_offered,
        "sms": config.sms.is_set,
        "email": config.mail.is_set,
    }
    return tuple(kind for kind in config.factors.offered if possible.get(kind, True))


def _show(
    pages: Pages, session: Session, *, pass_error: FactorRefused | None = None, problem: str | None = None, status: int = 200
) -> Response:
    seen = pages.rooms.signin.own_factors.overview(session, pages.visitor())
    language, zone = pages.speak(), pages.zone(seen.active)
    notice, asked = request.args.get("done"), request.args.get("problem")
    made = seen.codes.made_at
    return pages.render(
        "factors.html",
        status=status,
        establishment=seen.active,
        factors=[_described(pages, factor, seen) for factor in seen.factors],
        recovery={
            "count": seen.codes.count,
            "made": describe_instant(made, language, zone) if made else None,
            "is_few": seen.codes.is_few,
        }
        if seen.codes.may_renew
        else None,
        ways=[{"kind": kind, "url": f"{HOME}/{kind}"} for kind in offered_kinds(pages)],
        obstacle=str(seen.obstacle) if seen.obstacle else None,
        confirm_url=f"{HOME}/confirm" if seen.obstacle in STEP_UPS else None,
        takes_pass=seen.obstacle in OPENED_BY_PASS,
        pass_error=pass_error.reason if pass_error else None,
        tries_left=pass_error.tries_left if pass_error else None,
        wait_minutes=pass_error.wait_minutes if pass_error else 0,
        problem=problem or (asked if asked in PROBLEMS else None),
        notice=notice if notice in NOTICES else None,
    )


def _described(pages: Pages, factor: Factor, seen: FactorOverview) -> Mapping[str, Any]:
    language, zone = pages.speak(), pages.zone(seen.active)
    return {
        "id": factor.id,
        "kind": factor.kind,
        "label": factor.label,
        "hint": factor.hint,
        "created": describe_day(factor.created_at.astimezone(zone).date(), language),
        "last_used": describe_instant(factor.last_used_at, language, zone) if factor.last_used_at else None,
    }


def _named(seen: FactorOverview) -> Factor | None:
    """The person's own factor that the address names."""
    return next((one for one in seen.factors if one.id == request.args.get("factor")), None)


def _confirm(pages: Pages, session: Session) -> Response:
    obstacle = pages.rooms.signin.own_factors.overview(session, pages.visitor()).obstacle
    return begin_sign_in(pages, HOME, step_up=STEP_UPS[obstacle]) if obstacle in STEP_UPS else back_to_factors(pages)


def _show_pass(pages: Pages, session: Session) -> Response:
    try:
        pages.rooms.signin.own_factors.show_pass(session, request.form.get("pass", ""), pages.origin())
    except FactorRefused as refused:
        return _show(pages, session, pass_error=refused, status=429 if refused.reason == Reason.THROTTLED else 422)
    return back_to_factors(pages)


def _offer_totp(pages: Pages, session: Session) -> Response:
    seen = pages.rooms.signin.own_factors.overview(session, pages.visitor())
    if seen.obstacle is not None:
        return obstacle_page(pages, seen.obstacle)
    return _totp_page(pages, seen, pages.rooms.signin.second_factors.totp.begin(seen.account))


def _add_totp(pages: Pages, session: Session) -> Response:
    factors, form = pages.rooms.signin.second_factors, request.form
    seen = factors.own.overview(session, pages.visitor())
    asking, token = factors.own.asking(session, pages.visitor()), form.get("offer", "")
    try:
        _, proof = factors.totp.enrol(asking, token, form.get("code", ""), label=form.get("label", ""), origin=pages.origin())
    except EnrolmentRefused as refused:
        return obstacle_page(pages, Reason(refused.reason))
    except FactorRefused as refused:
        offer = factors.totp.again(seen.account, token)
        return _totp_page(pages, seen, offer, error=refused.reason, label=form.get("label", "")[:80], status=422)
    return factor_added(pages, factors.own.note(session, proof))


def _totp_page(
    pages: Pages, seen: FactorOverview, offer: Offer, *, error: str | None = None, label: str = "", status: int = 200
) -> Response:
    return pages.render("add_totp.html", status=status, establishment=seen.active, kind="totp", offer=offer, error=error, label=label)


def _renew_codes(pages: Pages, session: Session) -> Response:
    factors = pages.rooms.signin.second_factors
    try:
        factors.enrolment.check_change(factors.own.asking(session, pages.visitor()), pages.origin())
        return show_codes(pages, session)
    except EnrolmentRefused as refused:
        return obstacle_page(pages, Reason(refused.reason))
    except Refused as refused:
        return back_to_factors(pages, problem=refused.reason)


def _ask_name(pages: Pages, session: Session) -> Response:
    seen = pages.rooms.signin.own_factors.overview(session, pages.visitor())
    factor = _named(seen)
    if factor is None:
        return back_to_factors(pages, problem=str(Reason.NO_SUCH_FACTOR))
    return pages.render("rename_factor.html", establishment=seen.active, factor=_described(pages, factor, seen))


def _rename(pages: Pages, session: Session) -> Response:
    factors, form = pages.rooms.signin.second_factors, request.form
    asking = factors.own.asking(session, pages.visitor())
    is_done = factors.enrolment.rename(asking, form.get("factor", ""), form.get("label", ""), origin=pages.origin())
    return back_to_factors(pages, done="factor_renamed" if is_done else None)


def _ask_removal(pages: Pages, session: Session) -> Response:
    seen = pages.rooms.signin.own_factors.overview(session, pages.visitor())
    factor = _named(seen)
    if factor is None:
        return back_to_factors(pages, problem=str(Reason.NO_SUCH_FACTOR))
    if seen.must_confirm:
        return begin_sign_in(pages, HOME, step_up="second_factor")
    return pages.render(
        "remove_factor.html",
        establishment=seen.active,
        factor=_described(pages, factor, seen),
        is_last=len(seen.factors) == 1,
    )


def _remove(pages: Pages, session: Session) -> Response:
    factors = pages.rooms.signin.second_factors
    asking = factors.own.asking(session, pages.visitor())
    try:
        factors.enrolment.remove(asking, request.form.get("factor", ""), pages.origin())
    except EnrolmentRefused as refused:
        return obstacle_page(pages, Reason(refused.reason))
    return back_to_factors(pages, done="factor_removed")
