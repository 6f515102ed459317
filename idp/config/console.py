"""Settings of the console and the desk. The docstring under a field is its documentation."""

from datetime import timedelta

from pydantic import Field

from connectors.settings import Duration, Settings


class ConsoleSettings(Settings):
    """The administrators' console (/admin)."""

    fresh: Duration = Field(default=timedelta(minutes=30), ge=timedelta(minutes=5), le=timedelta(hours=4))
    """How long a second factor opens the console's pages; then it is asked again. Between 5m and 4h."""
    step_up: Duration = Field(default=timedelta(minutes=5), ge=timedelta(minutes=1), le=timedelta(minutes=15))
    """How long it opens a dangerous act: a reset, an unlock, a suspension, a change of rules or roles. Between 1m and 15m."""
