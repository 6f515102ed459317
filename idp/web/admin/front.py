"""The front page of the console: what waits, what is wrong, and where everything is."""

from datetime import timedelta

from flask import Response

from idp.web.admin.console import Call, Route
from idp.web.description import describe_day, describe_time
from policies.acts import Act

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def _show(call: Call) -> Response:
    found = call.pages.rooms.desk.overviews.of(call.agent)
    language, zone = call.pages.speak(), call.zone
    oldest = found.oldest_reset_at
    return call.render(
        "front.html",
        overview=found,
        oldest=describe_time(oldest, language, zone) if oldest else None,
        waited_minutes=int((call.pages.rooms.clock.now() - oldest) / MINUTE) if oldest else None,
        ending=[(name, describe_day(at.astimezone(zone).date(), language)) for name, at in found.ending or ()],
        name=call.agent.name,
    )


ROUTES = (Route(rule="", act=Act.SEE_CONSOLE, view=_show),)
