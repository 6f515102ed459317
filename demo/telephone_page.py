"""The pages of the demonstration's telephone: codes that change under the eyes, SMS that arrive, a key that a visitor copies. No JavaScript.

What it knows is demo/telephone.py's. It reloads by the Refresh header, and can be told not to (WCAG 2.2.1).
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from demo.telephone import NoKey, Telephone, read_key, seconds_left

RELOAD_SECONDS = 3
PARIS = ZoneInfo("Europe/Paris")
LONGEST_TYPED = 1_000


def telephone_page(telephone: Telephone, public_url: str) -> Blueprint:
    """/telephone and /telephone/ajouter."""
    pages = Blueprint("telephone", __name__, url_prefix="/telephone")

    @pages.get("")
    def codes() -> Response:
        now = datetime.now(UTC)
        is_live = "arret" not in request.args
        sms = [(one, one.at.astimezone(PARIS).strftime("%H:%M:%S")) for one in telephone.messages(now)]
        left = seconds_left(now)
        page = make_response(
            render_template("telephone.html", codes=telephone.codes(now), left=left, sms=sms, papers=telephone.papers(), is_live=is_live)
        )
        if is_live:
            page.headers["Refresh"] = str(min(RELOAD_SECONDS, left))
        return page

    @pages.get("/ajouter")
    def ask_key() -> str:
        return render_template("telephone_add.html", is_wrong=False)

    @pages.post("/ajouter")
    def take_key() -> AnyResponse:
        if request.headers.get("Origin", public_url) != public_url:
            abort(403)
        name = request.form.get("name", "")[:LONGEST_TYPED].strip()
        try:
            entry = read_key(request.form.get("key", "")[:LONGEST_TYPED], name or g.t["telephone_added"])
        except NoKey:
            return make_response(render_template("telephone_add.html", is_wrong=True), 400)
        telephone.add(entry)
        return redirect("/telephone", 303)

    return pages
