"""What settings are made of, ours and the connectors': the base model, and durations, secrets and paths, each parsed once, here.

Relative paths are relative to the configuration file, never to the current directory: a command run from elsewhere must not open (and
create) another database. The directory comes as pydantic's validation context, `{"directory": Path}`; without one, paths stay as they are.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationInfo

DURATION = re.compile(r"^(\d+)\s*(ms|s|m|h|d)$")
UNIT = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
UNREADABLE = "unreadable:"  # stands for a secret already reported as wrong, so that the rest of the file is still checked


def parse_duration(value: object) -> timedelta:
    """`30s`, `30m`, `14h`, `7d` or `500ms` as a timedelta; raises ValueError otherwise."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := DURATION.match(value.strip())):
        return timedelta(**{UNIT[match[2]]: int(match[1])})
    raise ValueError("a duration is a whole number and a unit: 500ms, 30s, 30m, 14h, 7d")


def format_duration(value: timedelta) -> str:
    """A timedelta as `parse_duration` reads it, in the largest unit that leaves no remainder."""
    for unit, name in reversed(UNIT.items()):
        step = timedelta(**{name: 1})
        if value % step == timedelta(0):
            return f"{value // step}{unit}"
    return f"{value // timedelta(milliseconds=1)}ms"


def read_secret(value: object, info: ValidationInfo | None) -> str:
    """The secret named by `file:<path>` or `env:<NAME>`; a secret written in the file itself is refused (ValueError)."""
    if not isinstance(value, str) or ":" not in value:
        raise ValueError("a secret is given as file:<path> or env:<NAME>, never in the configuration itself")
    kind, _, name = value.partition(":")
    if kind == "env":
        if not (found := os.environ.get(name)):
            raise ValueError(f"the environment variable {name} is empty or not set")
        return found
    if value == UNREADABLE:
        return UNREADABLE
    if kind == "file":
        path = resolve(Path(name), info)
        try:
            found = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ValueError(f"cannot read the secret file {path}: {why}") from error
        if not found:
            raise ValueError(f"the secret file {path} is empty")
        return found
    raise ValueError("a secret is given as file:<path> or env:<NAME>")


def _secret(value: object, info: ValidationInfo) -> str:
    return read_secret(value, info)


def resolve(path: Path, info: ValidationInfo | None) -> Path:
    """A path relative to the configuration file, made absolute."""
    directory = (info.context or {}).get("directory") if info else None
    return Path(directory) / path if directory else path


class Settings(BaseModel):
    """A part of the configuration file: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str, when_used="json")]
Secret = Annotated[str, BeforeValidator(_secret)]
LocalPath = Annotated[Path, AfterValidator(resolve)]
