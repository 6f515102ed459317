"""Settings of the audit trail: how long which lines are kept, and where they are streamed. The docstring under a field is its documentation.

Source of the limits: CNIL, deliberation 2021-122 (six months to a year; up to three years for internal control, with a written reason).
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from connectors.settings import Settings
from connectors.streams.settings import AnyStream, JsonLinesSettings, SyslogSettings
from idp.audit import EventType
from idp.config.findings import Finding
from idp.config.values import is_loopback_host

Months = Annotated[int, Field(ge=6, le=36)]
USUAL_MONTHS = 12
LEAST_REASON = 20
RESERVED = frozenset({"default", "seals"})


class RetentionClassSettings(Settings):
    """Lines that are kept longer, or less long, than the others."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    """Short name in the records of purges."""
    types: tuple[str, ...] = Field(min_length=1)
    """Event types or their beginnings: `role.`, `signin.refused`. A line is of the first class that fits."""
    months: Months
    """How long they are kept."""
    reason: str = Field(default="", max_length=500)
    """Why longer than 12 months: the threat or the duty, and the procedure that says so."""


class AuditSettings(Settings):
    """The audit trail."""

    months: Months = 12
    """How long lines are kept, in months. More than 12 needs `reason`."""
    reason: str = Field(default="", max_length=500)
    """Why longer than 12 months: the threat or the duty, and the procedure that says so."""
    classes: tuple[RetentionClassSettings, ...] = ()
    """Kinds of lines that are kept for another time."""
    purge: Literal["worker", "never"] = "worker"
    """worker: lines past their time are purged. never: for a deployment that must not lose a line now (a seizure, an inquiry); `audit verify` and
    check-config remind of it."""
    streams: tuple[AnyStream, ...] = ()
    """Where lines and seals are sent as they are written."""


def check_audit(settings: AuditSettings) -> Iterable[Finding]:
    """What no single field can tell."""
    yield from _check_reason("audit", settings.months, settings.reason)
    names: set[str] = set()
    for index, one in enumerate(settings.classes):
        path = f"audit.classes[{index}]"
        yield from _check_reason(path, one.months, one.reason)
        if one.name in names or one.name in RESERVED:
            yield Finding("error", f"{path}.name", f"{one.name!r} is taken")
        names.add(one.name)
        for prefix in one.types:
            if not any(kind.startswith(prefix) for kind in EventType):
                yield Finding("error", f"{path}.types", f"no event type begins with {prefix!r} (docs/reference/events.md)")
    if settings.purge == "never":
        yield Finding(
            "warning", "audit.purge", "nothing is purged: lines are kept longer than `months` says, which needs a reason of its own"
        )
    streams: set[str] = set()
    for index, stream in enumerate(settings.streams):
        path = f"audit.streams[{index}]"
        if stream.name in streams:
            yield Finding("error", f"{path}.name", f"two streams are called {stream.name!r}")
        streams.add(stream.name)
        yield from _check_stream(path, stream)


def _check_reason(path: str, months: int, reason: str) -> Iterable[Finding]:
    if months > USUAL_MONTHS and len(reason.strip()) < LEAST_REASON:
        words = f"more than {USUAL_MONTHS} months needs a written reason of {LEAST_REASON} characters or more (CNIL, deliberation 2021-122)"
        yield Finding("error", f"{path}.reason", words)


def _check_stream(path: str, stream: SyslogSettings | JsonLinesSettings) -> Iterable[Finding]:
    if isinstance(stream, JsonLinesSettings):
        return
    if stream.transport != "tls":
        if not is_loopback_host(stream.host):
            words = "not encrypted: whoever is on the way reads who signs in where, and can change it"
            yield Finding("warning", f"{path}.transport", words)
        for name in ("ca_file", "certificate"):
            if getattr(stream, name) is not None:
                yield Finding("error", f"{path}.{name}", "only with transport: tls")
    for name in ("ca_file", "certificate"):
        file = getattr(stream, name)
        if file is not None and not file.is_file():
            yield Finding("error", f"{path}.{name}", f"no file {file}")
