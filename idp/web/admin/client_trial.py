"""/admin/clients/<client_id>/trial: what an application would get of the agent themselves, or what they would be asked first. Nothing is issued.

Owns the page; the trying is idp/desk/client_trial.py's.
"""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, request

from idp.desk.client_trial import Wanted
from idp.web.admin.console import Call, Route
from policies.acts import Act
from policies.assurance import ACR_ORDER


def _ask_trial(call: Call) -> Response:
    client = call.pages.rooms.desk.clients.get(call.values["client_id"])
    scopes = {f"scope_{scope}": "yes" for scope in client.settings.scopes}
    return call.render("client_trial.html", client=client, typed=scopes, trial=None, acrs=ACR_ORDER, places=_own_places(call))


def _try(call: Call) -> Response:
    client = call.pages.rooms.desk.clients.get(call.values["client_id"])
    scope = tuple(one for one in client.settings.scopes if request.form.get(f"scope_{one}"))
    acr, place = request.form.get("acr", ""), request.form.get("establishment", "")
    places = _own_places(call)
    wanted = Wanted(
        scope=scope,
        establishment=place if place in {slug for slug, _name in places} else None,
        acr=acr if acr in ACR_ORDER else None,
    )
    trial = call.pages.rooms.desk.client_trial.run(call.agent, client, wanted, session=call.session, visitor=call.pages.visitor())
    typed = {**{f"scope_{one}": "yes" for one in scope}, "acr": acr, "establishment": place}
    return call.render(
        "client_trial.html",
        client=client,
        typed=typed,
        trial={
            "step": str(trial.step.kind),
            "reason": trial.step.reason.description if trial.step.reason else "",
            "choices": [one.name for one in trial.step.choices],
            "asks_consent": trial.asks_consent,
            "id_token": _claims(trial.id_token),
            "userinfo": _claims(trial.userinfo),
        },
        acrs=ACR_ORDER,
        places=places,
    )


def _claims(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for name, value in values.items()]


def _own_places(call: Call) -> list[tuple[str, str]]:
    overview = call.pages.rooms.signin.own_account.overview(call.session)
    return [(place.slug, place.name) for place in overview.choices]


ROUTES: tuple[Route, ...] = (
    Route(rule="/clients/<client_id>/trial", act=Act.MANAGE_CLIENTS, view=_ask_trial),
    Route(rule="/clients/<client_id>/trial", method="POST", act=Act.MANAGE_CLIENTS, view=_try),
)
