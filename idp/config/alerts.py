"""Settings of the alerts that are mailed. The docstring under a field is its documentation."""

from collections.abc import Iterable
from datetime import time, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from connectors.settings import Duration, Settings
from idp.config.findings import Finding

if TYPE_CHECKING:
    from idp.config.models import Config

AlertKind = Literal[
    "new_device",
    "spraying",
    "disabled_account",
    "outside_hours",
    "break_glass",
    "own_agent",
    "disowned",
    "reset_alarm",
    "many_leave",
    "canary",
]
KINDS: tuple[AlertKind, ...] = (
    "new_device",
    "spraying",
    "disabled_account",
    "outside_hours",
    "break_glass",
    "own_agent",
    "disowned",
    "reset_alarm",
    "many_leave",
    "canary",
)


class WorkingHoursSettings(Settings):
    """When administrators work, by the establishment's own clock."""

    begins: time = time(7)
    """First minute of the day."""
    ends: time = time(21)
    """First minute that is outside. The same as `begins`: nothing is outside."""


class AlertSettings(Settings):
    """Mails about what an establishment should look at."""

    contact: bool = True
    """Whether the establishment's contact is written to."""
    kinds: tuple[AlertKind, ...] = KINDS
    """Of what."""
    dpo: str | None = Field(default=None, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")
    """Address that is written to about every establishment, and about what belongs to none; without names of people. null: nobody."""
    working_hours: WorkingHoursSettings = WorkingHoursSettings()
    """Outside these an administrator who enters the console is told of."""
    digest: Duration = Field(default=timedelta(minutes=15), ge=timedelta(minutes=1), le=timedelta(days=1))
    """After a mail the next of its group waits this long, and counts what has happened meanwhile."""


def check_alerts(config: "Config") -> Iterable[Finding]:
    """Why an alert would reach nobody: without a mail server whenever somebody is to be told, the rest for who has written
    `alerts`. Nobody is to be told in a demonstration.
    """
    alerts = config.alerts
    if not alerts.kinds or config.demo:
        return
    if not config.mail.is_set:
        if alerts.dpo is not None or (alerts.contact and any(place.contact.email for place in config.establishments)):
            yield Finding(
                "warning", "alerts", "no alert is mailed to anybody: there is no mail server (mail.host); kinds: [] if none is wanted"
            )
        return
    if "alerts" not in config.model_fields_set or (not alerts.contact and alerts.dpo is None):
        return
    if alerts.dpo is None:
        words = "alerts that belong to no establishment (break-glass, guessing from outside) are mailed to nobody"
        yield Finding("warning", "alerts.dpo", words)
    if alerts.contact:
        for index, place in enumerate(config.establishments):
            if not place.contact.email:
                path = f"establishments[{index}].contact.email"
                yield Finding("warning", path, "is missing: this establishment is mailed no alert")
