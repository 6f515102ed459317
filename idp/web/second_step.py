"""The pages of a second proof inside a sign-in: giving one (FACTOR), and adding the first (ENROL).

Owns what their forms do and what their pages need; signin.py routes here, the rooms judge. A refused try is told on the same page, with the tries
left and the wait; a store that does not answer fails the whole request (pages.py). Nothing here needs JavaScript, passkeys apart.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Response, request

from idp.audit import Reason
from idp.signin.enrolment import EnrolmentRefused
from idp.signin.factor import FactorProof, FactorRefused
from idp.signin.gate import UPSTREAM_KIND, FactorChoice
from idp.signin.interaction import Interaction
from idp.signin.second_factors import TYPED_KINDS
from idp.signin.step import Step, StepKind
from idp.web import codes, departures, passkeys
from idp.web.description import describe_day

if TYPE_CHECKING:
    from idp.web.signin import Visit

SENT_KINDS = frozenset({"sms", "email"})
ENROL_ORDER = ("passkey", "totp", "sms")


# Giving a proof


def give_factor(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """What was typed, or what the passkey signed."""
    choice = _chosen(interaction, step)
    if choice is None or step.account is None:
        return None
    try:
        proof = _prove(visit, interaction, choice, account_id=step.account.id)
    except FactorRefused as refused:
        return _refused(visit, interaction, step, refused)
    visit.signin.answers.prove_more(interaction, proof, remembers_device=step.may_remember and "remember" in request.form)
    return None


def choose_factor(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """Another way; one that needs a message has it sent."""
    way = request.form.get("way", "")
    choice = next((one for one in step.factors if _value(one) == way), None)
    if choice is None:
        return None
    if choice.kind == UPSTREAM_KIND:
        return departures.leave_for_factor(visit, interaction, step)
    visit.signin.answers.choose_kind(interaction, way)
    return send_code(visit, interaction, step, choice) if choice.kind in SENT_KINDS else None


def send_again(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """Another code to the same place."""
    choice = _chosen(interaction, step)
    return send_code(visit, interaction, step, choice) if choice is not None and choice.kind in SENT_KINDS else None


def send_code(visit: "Visit", interaction: Interaction, step: Step, choice: FactorChoice) -> Response | None:
    """Queue the message; nothing is sent on the request's time."""
    if step.account is None:
        return None
    try:
        visit.signin.sent_codes.codes.send(
            step.account.id,
            visit.signin.factor(step.account.id, choice.factor_id),
            visit.pages.origin(),
            language="en" if visit.pages.speak(interaction) == "en" else "fr",
            establishment_id=step.establishment.id if step.establishment else None,
        )
    except FactorRefused as refused:
        return _refused(visit, interaction, step, refused)
    return None


def go_without(visit: "Visit", interaction: Interaction, step: Step) -> None:
    """The client would have liked it, and does without; or a sign-in was to be linked, and is not."""
    pending = interaction.pending_link
    if step.is_optional and pending is not None and pending.confirmed_by is not None:
        visit.signin.answers.decline_link(interaction)
    elif step.is_optional:
        visit.signin.answers.decline(interaction)


def factor_page(visit: "Visit", interaction: Interaction, step: Step) -> dict[str, Any]:
    """What factor.html shows. No kind at all: the person must choose first, since a message would be sent."""
    choice = _chosen(interaction, step)
    options = None
    if choice is not None and choice.kind == "passkey" and step.account is not None:
        options = passkeys.ask_second_factor(visit.pages, interaction, step.account.id)
    path = f"/signin/{visit.id}"
    return {
        "kind": choice.kind if choice else None,
        "label": choice.label if choice else "",
        "hint": choice.hint if choice else "",
        "options": options,
        "others": [
            {"value": _value(one), "kind": one.kind, "label": one.label, "hint": one.hint}
            for one in step.factors
            if choice is None or _value(one) != _value(choice)
        ],
        "switch_action": f"{path}/factor-kind",
        "is_open": _is_open(visit, step, choice),
        "resend_action": f"{path}/send-code" if choice is not None and choice.kind in SENT_KINDS else None,
        "remember_days": step.establishment.remember_device_days if step.may_remember and step.establishment else 0,
        "skip_action": f"{path}/skip" if step.is_optional else None,
        "upstream": departures.told(visit, interaction),
    }


# Adding a first factor


def show_pass(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """A one-time pass, from the contact's hands."""
    if step.account is None or not step.asks_pass:
        return None
    try:
        pass_digest = visit.signin.second_factors.passes.check(step.account.id, request.form.get("pass", ""), visit.pages.origin())
    except FactorRefused as refused:
        return _refused(visit, interaction, step, refused)
    visit.signin.answers.show_pass(interaction, pass_digest)
    return None


def use_reset_pass(visit: "Visit", interaction: Interaction, step: Step) -> Interaction | None:
    """A reset of their factor was redeemed in this browser: its pass opens the addition, and nobody types it. None when there is none."""
    if step.kind is not StepKind.ENROL or step.account is None or interaction.pass_digest is not None:
        return None
    given = visit.rooms.desk.redemption.enrol_pass(visit.pages.known_browser(), step.account.id)
    return visit.signin.answers.show_pass(interaction, given) if given is not None else None


def choose_kind(visit: "Visit", interaction: Interaction, step: Step) -> None:
    """Which kind to add."""
    if (kind := request.form.get("kind", "")) in step.kinds:
        visit.signin.answers.choose_kind(interaction, kind)


def enrol(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """The first code, or what the new passkey signed: the factor is added, and it was just proven."""
    kind, account = _enrolling(interaction, step), step.account
    if step.asking is None or account is None or step.asks_pass or kind is None:
        return None
    form, origin, asking = request.form, visit.pages.origin(), step.asking
    try:
        if codes.is_kind(kind):
            sent = codes.carry_out(visit.pages, asking, kind, interaction)
            if sent is None:
                return None
            proof = sent
        elif kind == "totp":
            totp = visit.signin.second_factors.totp
            _, proof = totp.enrol(asking, form.get("offer", ""), form.get("code", ""), label=form.get("label", ""), origin=origin)
        else:
            tie = passkeys.tie_to_interaction(visit.pages, interaction)
            _, proof = visit.signin.passkeys.finish_registration(
                asking, passkeys.answered(), tie, label=form.get("label", ""), origin=origin
            )
    except EnrolmentRefused as refused:
        return visit.page(interaction, step, error=str(refused.reason), status=403)
    except FactorRefused as refused:
        return _refused(visit, interaction, step, refused)
    visit.rooms.desk.redemption.note_enrolled(visit.pages.known_browser(), account.id, origin)
    visit.signin.answers.prove_more(interaction, proof, remembers_device=False)
    return _show_codes(visit, interaction, step)


def enrol_page(visit: "Visit", interaction: Interaction, step: Step) -> dict[str, Any]:
    """What enrol.html shows."""
    kind = None if step.asks_pass else _enrolling(interaction, step)
    path = f"/signin/{visit.id}"
    found: dict[str, Any] = {
        "kind": kind,
        "obstacle": str(step.reason) if step.asks_pass and step.reason else None,
        "pass_action": f"{path}/enrol-pass" if step.asks_pass else None,
        "ways": [] if step.asks_pass else [one for one in ENROL_ORDER if one in step.kinds],
        "choose_action": f"{path}/enrol-kind",
        "options": None,
        "offer": None,
    }
    if kind == "totp" and step.account is not None:
        found["offer"] = visit.signin.second_factors.totp.again(step.account, request.form.get("offer", ""))
    elif kind is not None and step.account is not None and codes.is_kind(kind):
        found["codes"] = codes.code_forms(visit.pages, step.account, kind)
    elif kind == "passkey" and step.asking is not None:
        tie = passkeys.tie_to_interaction(visit.pages, interaction)
        try:
            found["options"] = visit.signin.passkeys.begin_registration(step.asking, tie, origin=visit.pages.origin())
        except EnrolmentRefused as refused:  # since the Step was found: another tab, or the limit of how many one may have
            found |= {"kind": None, "obstacle": str(refused.reason)}
    return found


# What both share


def _prove(visit: "Visit", interaction: Interaction, choice: FactorChoice, *, account_id: str) -> FactorProof:
    form, origin = request.form, visit.pages.origin()
    if choice.kind == "passkey":
        tie = passkeys.tie_to_interaction(visit.pages, interaction)
        return visit.signin.passkeys.finish_assertion(account_id, passkeys.answered(), tie, origin=origin)
    if choice.kind in TYPED_KINDS:
        return visit.signin.second_factors.prove(choice.kind, account_id, form.get("code", ""), origin=origin, factor_id=choice.factor_id)
    factor = visit.signin.factor(account_id, choice.factor_id)
    return visit.signin.sent_codes.codes.prove(account_id, factor, form.get("code", ""), origin=origin)


def _refused(visit: "Visit", interaction: Interaction, step: Step, refused: FactorRefused) -> Response:
    is_stopped = refused.reason in {Reason.THROTTLED, Reason.FACTOR_BLOCKED, Reason.CODE_TOO_SOON}
    response = visit.page(
        interaction,
        step,
        error=str(refused.reason),
        status=429 if is_stopped else 403,
        tries_left=refused.tries_left,
        wait_minutes=refused.wait_minutes,
    )
    if refused.wait:
        response.headers["Retry-After"] = str(math.ceil(refused.wait.total_seconds()))
    return response


def _chosen(interaction: Interaction, step: Step) -> FactorChoice | None:
    """The way that the person chose, else the best that sends nothing; of a way that sends, only once a code is on its way."""
    chosen = next((one for one in _typed_here(step) if _value(one) == interaction.factor_kind), None)
    if chosen is None:
        only = len(step.factors) == 1
        return next(
            (one for one in _typed_here(step) if one.kind not in SENT_KINDS and (only or one.kind not in {"recovery", "pass"})), None
        )
    return chosen


def _typed_here(step: Step) -> tuple[FactorChoice, ...]:
    """Those that are given on our page; for the other one is sent to a provider."""
    return tuple(one for one in step.factors if one.kind != UPSTREAM_KIND)


def _is_open(visit: "Visit", step: Step, choice: FactorChoice | None) -> bool:
    """Whether there is something to type: of a way that sends, only while a code is on its way or has arrived."""
    if choice is None or step.account is None or choice.kind not in SENT_KINDS:
        return True
    try:
        return visit.signin.sent_codes.codes.sent(step.account.id, visit.signin.factor(step.account.id, choice.factor_id)) is not None
    except FactorRefused:
        return False  # removed since the Step was found: another way is chosen


def _value(choice: FactorChoice) -> str:
    return choice.factor_id or choice.kind


def _enrolling(interaction: Interaction, step: Step) -> str | None:
    """The kind being added: what was chosen, or the only one there is."""
    if interaction.factor_kind in step.kinds:
        return interaction.factor_kind
    return next(iter(step.kinds)) if len(step.kinds) == 1 else None


def _show_codes(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """Recovery codes for who never had any, shown in the answer to this form and nowhere else."""
    account, recovery = step.account, visit.signin.second_factors.recovery
    if account is None:
        return None
    left = recovery.left(account.id)
    if left.made_at is not None or not left.may_renew:
        return None
    codes = recovery.renew(account.id, visit.pages.origin())
    language = visit.pages.speak(interaction)
    today = visit.rooms.clock.now().astimezone(visit.pages.zone(step.establishment)).date()
    return visit.pages.render(
        "recovery_codes.html",
        establishment=step.establishment,
        interaction=interaction,
        codes=codes,
        username=account.username or account.name,
        made=describe_day(today, language),
        continue_url=f"/signin/{visit.id}",
    )


FactorAct = Callable[["Visit", Interaction, Step], Response | None]
FACTOR_ACTS: dict[str, tuple[StepKind, FactorAct]] = {
    "factor": (StepKind.FACTOR, give_factor),
    "factor-kind": (StepKind.FACTOR, choose_factor),
    "send-code": (StepKind.FACTOR, send_again),
    "skip": (StepKind.FACTOR, go_without),
    "enrol": (StepKind.ENROL, enrol),
    "enrol-kind": (StepKind.ENROL, choose_kind),
    "enrol-pass": (StepKind.ENROL, show_pass),
    "link-pass": (StepKind.LINK, show_pass),
}
FACTOR_PAGES: dict[StepKind, Callable[["Visit", Interaction, Step], dict[str, Any]]] = {
    StepKind.FACTOR: factor_page,
    StepKind.ENROL: enrol_page,
}
