"""/admin/rules: the rules in force as the configuration file has them, what they would say of a sign-in and why, and what a draft would have changed.

Owns the pages; what is asked is idp/desk/rulebook.py's. Nothing here changes a rule: that is the file's.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import yaml
from flask import Response, request

from idp.desk.rulebook import Past, Question
from idp.desk.wrong_input import Problem, WrongInput
from idp.signin.replay_judge import ASKED, CHANGES, REFUSED
from idp.signin.what_if import Supposed, WhatIf
from idp.store.base import Establishment
from idp.web.admin.console import HOME, Call, Route
from idp.web.admin.places import problems_of
from idp.web.description import describe_day, describe_instant
from policies.acts import Act
from policies.assurance import PRIMARY
from policies.rule_explanation import CriterionLine, Explanation, requirement_text
from policies.rule_text import FACTOR_KINDS
from policies.rules import DEFAULT_RULES

RULES = f"{HOME}/rules"
MOST_PLACES = 500
SHOWN = 100
FLAGS = ("is_device_known", "supposes_factors", *(f"factor_{kind}" for kind in FACTOR_KINDS))


def _show(call: Call) -> Response:
    policy = call.pages.rooms.config.policy
    # Copied through JSON: what two rules share would be shown as a YAML anchor.
    raw = json.loads(json.dumps(policy.rules if policy.rules is not None else DEFAULT_RULES))
    return call.render(
        "rules.html",
        are_default=policy.rules is None,
        text=yaml.safe_dump({"rules": raw}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100),
        tests=len(policy.tests),
        failing=call.pages.rooms.desk.rulebook.failing_cases(),
    )


def _ask_what_if(call: Call) -> Response:
    return _what_if_form(call, {"method": "password", "address": call.pages.origin().address, "person": request.args.get("person", "")})


def _what_if(call: Call) -> Response:
    names = ("person", "client_id", "address", "at", "establishment", "method", "draft", *FLAGS)
    typed = {name: request.form.get(name, "").strip() for name in names}
    rulebook = call.pages.rooms.desk.rulebook
    try:
        if typed["establishment"] and typed["establishment"] not in {place.slug for place in _places(call)}:
            raise WrongInput([Problem("establishment", "none of yours")])
        draft = rulebook.draft(typed["draft"])
        supposed, found = rulebook.ask(
            call.agent,
            Question(
                person=rulebook.person(call.agent, typed["person"]),
                client_id=typed["client_id"] or None,
                address=typed["address"],
                at=_moment(call, typed["at"], typed["establishment"]),
                establishment=typed["establishment"] or None,
                method=typed["method"],
                factors=frozenset(kind for kind in FACTOR_KINDS if typed[f"factor_{kind}"]) if typed["supposes_factors"] else None,
                is_device_known=bool(typed["is_device_known"]),
            ),
            draft,
        )
    except WrongInput as wrong:
        return _what_if_form(call, typed, problems=problems_of(wrong))
    return _what_if_form(call, typed, found=_told(call, supposed, found))


def _moment(call: Call, text: str, slug: str) -> datetime | None:
    """What a field of day and time says, at the establishment; None when it is empty. Raises WrongInput."""
    if not text:
        return None
    with call.pages.rooms.database.read() as tx:
        place = tx.establishments.by_slug(slug) if slug else None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=call.pages.zone(place)).astimezone(call.pages.rooms.clock.now().tzinfo)
    except ValueError as error:
        raise WrongInput([Problem("at", "a day and a time such as 2026-12-31T22:30")]) from error


def _ask_replay(call: Call) -> Response:
    return _replay_form(call, {"days": "30"})


def _replay(call: Call) -> Response:
    typed = {name: request.form.get(name, "").strip() for name in ("establishment", "days", "draft")}
    rulebook = call.pages.rooms.desk.rulebook
    try:
        if not (typed["days"].isascii() and typed["days"].isdecimal() and 1 <= int(typed["days"][:4]) <= 90):
            raise WrongInput([Problem("days", "1 to 90")])
        draft = rulebook.draft(typed["draft"])
        place = next((one for one in _places(call) if one.slug == typed["establishment"]), None)
        if place is None and typed["establishment"]:
            raise WrongInput([Problem("establishment", "none of yours")])
        found = rulebook.replay(call.agent, place, days=int(typed["days"]), draft=draft)
    except WrongInput as wrong:
        return _replay_form(call, typed, problems=problems_of(wrong))
    return _replay_form(call, typed, found=_past(call, found))


def _told(call: Call, supposed: Supposed, found: WhatIf) -> dict[str, Any]:
    """What came of it, as the page shows it: codes, which the template puts into words, and names."""
    place, ground, judgement = found.establishment, found.ground, found.judgement
    return {
        "step": str(found.step.kind),
        "is_optional": found.step.is_optional,
        "factors": sorted({choice.kind for choice in found.step.factors} | set(found.step.kinds)),
        "choices": [one.name for one in found.step.choices],
        "reason": found.step.reason.description if found.step.reason else "",
        "at": describe_instant(supposed.at, call.pages.speak(), call.pages.zone(place)),
        "place": place.name if place else "",
        "level": place.regulatory_level if place else "",
        "zone": ground.whereabouts.zone if ground else "",
        "zone_kind": str(ground.whereabouts.kind) if ground else "",
        "zone_why": str(ground.whereabouts.why) if ground else "",
        "may_use": found.access.is_allowed,
        "access": list(found.access.reasons),
        "acr": judgement.assurance.acr if judgement else "",
        "amr": " ".join(judgement.assurance.amr) if judgement else "",
        **_explained(found.explanation),
    }


def _explained(explanation: Explanation | None) -> dict[str, Any]:
    if explanation is None:
        return {"summary": None, "rules": [], "changes": []}
    ruling = explanation.ruling
    return {
        "summary": {
            "verdict": str(ruling.decision.verdict.value),
            "requirements": [requirement_text(one) for one in ruling.requirements],
            "reasons": list(ruling.decision.reasons),
        },
        "rules": [
            {
                "name": rule.name,
                "effect": rule.effect.value,
                "requirements": [requirement_text(one) for one in rule.requirements],
                "fires": rule.fires,
                "is_observed": rule.is_observed,
                "is_decisive": rule.name in explanation.decisive,
                "criteria": [line for criterion in rule.criteria for line in _lines(criterion, 0)],
            }
            for rule in explanation.rules
        ],
        "changes": [
            {
                "fact": change.fact,
                "seen": change.seen,
                "values": list(change.values),
                "verdict": change.verdict.value,
                "requirements": [requirement_text(one) for one in change.requirements],
            }
            for change in explanation.changes
        ],
    }


def _lines(criterion: CriterionLine, depth: int) -> list[dict[str, Any]]:
    own = {
        "name": criterion.name,
        "outcome": criterion.outcome.value,
        "wanted": criterion.wanted,
        "seen": criterion.seen,
        "is_group": bool(criterion.parts),
        "depth": depth,
    }
    return [own, *(line for part in criterion.parts for line in _lines(part, depth + 1))]


def _past(call: Call, past: Past) -> dict[str, Any]:
    replay, language = past.replay, call.pages.speak()
    tallies = replay.tallies()
    concerned = sorted(
        ((change, one) for change, one in replay.people.items() if change.what in (ASKED, REFUSED) and change.account_id),
        key=lambda pair: (pair[0].what, -pair[1].count, pair[0].account_id),
    )
    return {
        "total": replay.total,
        "unjudged": replay.without_facts + replay.unreadable,
        "establishments": [
            {
                "slug": slug or "-",
                "judged": replay.judged[slug],
                "changes": [{"times": tallies[slug, what].times, "people": len(tallies[slug, what].account_ids)} for what in CHANGES],
                "stranded": len(tallies[slug, ASKED].account_ids - past.equipped),
            }
            for slug in sorted(replay.judged)
        ],
        "people": [
            {
                "id": change.account_id,
                "name": past.names.get(change.account_id, change.account_id),
                "slug": change.slug,
                "what": change.what,
                "count": one.count,
                "last": describe_day(one.last_at.astimezone(call.pages.zone(call.establishment)).date(), language) if one.last_at else "",
                "has_factor": change.account_id in past.equipped,
                "rules": sorted(one.rules),
            }
            for change, one in concerned[:SHOWN]
        ],
        "left_out": max(0, len(concerned) - SHOWN),
    }


def _places(call: Call) -> tuple[Establishment, ...]:
    with call.pages.rooms.database.read() as tx:
        return tx.establishments.page(call.agent.actor.places(Act.EDIT_PLACE), limit=MOST_PLACES)


def _what_if_form(
    call: Call, typed: Mapping[str, str], *, problems: Mapping[str, str] | None = None, found: Mapping[str, Any] | None = None
) -> Response:
    with call.pages.rooms.database.read() as tx:
        known = tx.clients.page(limit=MOST_PLACES)
    places = _places(call)
    reach = {place.slug for place in places}
    clients = [
        (one.client_id, one.settings.name) for one in known if not one.settings.establishments or reach & {*one.settings.establishments}
    ]
    return call.render(
        "what_if.html",
        status=422 if problems else 200,
        typed=typed,
        problems=problems or {},
        found=found,
        clients=clients,
        places=[(place.slug, place.name) for place in places],
        methods=sorted(one.value for one in PRIMARY),
        kinds=FACTOR_KINDS,
    )


def _replay_form(
    call: Call, typed: Mapping[str, str], *, problems: Mapping[str, str] | None = None, found: Mapping[str, Any] | None = None
) -> Response:
    return call.render(
        "replay.html",
        status=422 if problems else 200,
        typed=typed,
        problems=problems or {},
        found=found,
        places=[(place.slug, place.name) for place in _places(call)],
        is_everywhere=call.agent.actor.places(Act.EDIT_PLACE) is None,
        changes=CHANGES,
    )


ROUTES: tuple[Route, ...] = (
    Route(rule="/rules", act=Act.EDIT_PLACE, view=_show),
    Route(rule="/rules/what-if", act=Act.EDIT_PLACE, view=_ask_what_if),
    Route(rule="/rules/what-if", method="POST", act=Act.EDIT_PLACE, view=_what_if),
    Route(rule="/rules/replay", act=Act.EDIT_PLACE, view=_ask_replay),
    Route(rule="/rules/replay", method="POST", act=Act.EDIT_PLACE, view=_replay),
)
