"""/workstation: where a contact types the pass of this computer, and where anybody sees whether it is enrolled.

Owns the page; the acts are in idp/signin/workstations.py. Nobody need be signed in: the pass says who vouches for the machine.
"""

from flask import Blueprint, Response, request

from idp.signin.workstations import WorkstationRefused
from idp.web.http import Pages


def workstation_pages(pages: Pages) -> Blueprint:
    """The blueprint."""
    blueprint = Blueprint("workstation", __name__)

    @blueprint.get("/workstation")
    def show() -> Response:
        return _show(pages)

    @blueprint.post("/workstation")
    def enrol() -> Response:
        try:
            enrolled = pages.rooms.workstations.enrol(
                request.form.get("workstation_pass", ""), pages.origin(), former=pages.workstation().workstation
            )
        except WorkstationRefused as refused:
            return _show(pages, error=refused.reason, status=422)
        pages.enrol_workstation(enrolled.cookie)
        return pages.see_other("/workstation")

    return blueprint


def _show(pages: Pages, *, error: str | None = None, status: int = 200) -> Response:
    found = pages.workstation()
    place = pages.rooms.workstations.establishment(found.workstation) if found.workstation and not found.is_over else None
    return pages.render(
        "workstation.html",
        status=status,
        establishment=place or pages.last_used_establishment(),
        name=found.workstation.name if found.workstation and place else None,
        is_here=found.facts is not None,
        is_shared=found.workstation is not None and found.workstation.is_shared,
        error=error,
    )
