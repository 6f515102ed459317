"""What is wrong with something that was typed at the desk: by field, so that the page says it beside the field and loses nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from idp.config import Finding
from idp.errors import VestibuleError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing. `field` is the name of a setting, or "" for the whole; `detail` is the configuration's own words, in English."""

    field: str
    detail: str


class WrongInput(VestibuleError):
    """What was typed cannot be used; nothing was changed."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("wrong_input", "; ".join(f"{one.field}: {one.detail}" for one in self.problems))


class NotYours(VestibuleError):
    """The configuration file owns it: it is changed there. `detail` names it."""


def problems_of(error: ValidationError) -> Iterable[Problem]:
    """The problems of a set of settings, each with the first name of its place; those of a contact are `contact_<name>`."""
    for item in error.errors():
        place = [str(part) for part in item["loc"]]
        field = "_".join(place[:2]) if place[:1] == ["contact"] else place[0] if place else ""
        yield Problem(field, item["msg"].removeprefix("Value error, "))


def problems_in(findings: Iterable[Finding]) -> Iterable[Problem]:
    """The errors among findings; paths are relative to the settings."""
    for finding in findings:
        if finding.severity == "error":
            yield Problem(finding.path.partition("[")[0].partition(".")[0], finding.message)
