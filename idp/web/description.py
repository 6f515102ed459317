"""How instants, days and browsers are told to a person, in their language and their establishment's time zone."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime, format_time

from idp.store.base import Device, Session

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


def describe_device(device: Device, language: str, zone: ZoneInfo, now: datetime) -> dict[str, str | None]:
    """A Device as the account page shows it: id, browser, last_seen, and remembered_until when it spares the gesture; all texts."""
    until = device.remembered_until
    return {
        "id": device.id,
        "browser": describe_browser(device.user_agent),
        "last_seen": describe_instant(device.last_seen_at, language, zone),
        "remembered_until": describe_instant(until, language, zone) if until is not None and now < until else None,
    }


def describe_instant(instant: datetime, language: str, zone: ZoneInfo) -> str:
    """Day and time, to the minute."""
    return format_datetime(instant, "d MMM y HH:mm", tzinfo=zone, locale=language)


def describe_moment(instant: datetime, language: str, zone: ZoneInfo) -> str:
    """Day and time, to the millisecond: for what is measured."""
    return format_datetime(instant, "d MMM y HH:mm:ss.SSS", tzinfo=zone, locale=language)


def describe_time(instant: datetime, language: str, zone: ZoneInfo) -> str:
    """The time of day, to the minute."""
    return format_time(instant, "HH:mm", tzinfo=zone, locale=language)


def describe_day(day: date, language: str) -> str:
    """A day with its month in letters."""
    return format_date(day, "long", locale=language)


def describe_browser(user_agent: str) -> str:
    """ "Firefox, Windows"; "" when neither is recognised."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return ", ".join(part for part in (browser, system) if part)
