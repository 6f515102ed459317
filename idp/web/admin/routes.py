"""The one table of the console: every page and form, and the act it needs. What is not here is not served.

Each module of this room lists its own Routes; docs/reference/acts.md is generated from here, and tests/security/test_authorization_walk.py walks it.
"""

from flask import Blueprint

from idp.web.admin import (
    administrators,
    audit,
    charts,
    client_trial,
    clients,
    connectors,
    cuts,
    front,
    people,
    person,
    person_acts,
    person_places,
    person_register,
    places,
    resets,
    rules,
    zones,
)
from idp.web.admin.console import HOME, Route, guarded
from idp.web.http import Pages

ROUTES: tuple[Route, ...] = (
    *front.ROUTES,
    *administrators.ROUTES,
    *people.ROUTES,
    *person.ROUTES,
    *person_acts.ROUTES,
    *person_register.ROUTES,
    *person_places.ROUTES,
    *resets.ROUTES,
    *places.ROUTES,
    *zones.ROUTES,
    *rules.ROUTES,
    *clients.ROUTES,
    *client_trial.ROUTES,
    *connectors.ROUTES,
    *audit.ROUTES,
    *cuts.ROUTES,
    *charts.ROUTES,
)


def admin_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("admin", __name__, url_prefix=HOME)
    for route in ROUTES:
        blueprint.add_url_rule(
            route.rule, endpoint=f"{route.method} {route.rule}".replace(".", "_"), view_func=guarded(pages, route), methods=[route.method]
        )
    return blueprint
