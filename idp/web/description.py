"""How instants, days and browsers are told to a person, in their language and their establishment's time zone."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime

from idp.store.base import Session

# The first that matches wins: Edge and Opera call themselves Chrome too, and Chrome calls itself Safari.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("Trident/", "Internet Explorer"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def describe_session(session: Session, language: str, zone: ZoneInfo) -> dict[str, str]:
    """A Session as the pages show it: id, opened, last_active, browser, address; all texts."""
    return {
        "id": session.id,
        "opened": describe_instant(session.created_at, language, zone),
        "last_active": describe_instant(session.last_active_at, language, zone),
        "browser": describe_browser(session.user_agent),
        "address": session.address,
    }


def describe_instant(instant: datetime, language: str, zone: ZoneInfo) -> str:
    """Day and time, to the minute."""
    return format_datetime(instant, "d MMM y HH:mm", tzinfo=zone, locale=language)


def describe_day(day: date, language: str) -> str:
    """A day with its month in letters."""
    return format_date(day, "long", locale=language)


def describe_browser(user_agent: str) -> str:
    """ "Firefox, Windows"; "" when neither is recognised."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return ", ".join(part for part in (browser, system) if part)
