"""Nothing of the program is undocumented: the reference is written from it, and must be up to date."""

import re
from pathlib import Path

import pytest

from docs.generate import REFERENCE, documents, settings
from idp.audit import EventType, Reason
from idp.cli import COMMANDS


@pytest.mark.parametrize("name", sorted(documents()))
def test_reference_is_up_to_date(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == documents()[name], "run `make docs`"


def test_every_setting_says_what_it_is() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    for path, meaning in settings():
        assert meaning, f"{path} has no docstring"
        assert f"| `{path}` |" in text, path


def test_every_command_and_option_says_what_it_does() -> None:
    text = (REFERENCE / "commands.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"## `vestibule {name}`" in text
    assert re.findall(r"^\| `[^|]+` \|  *\|$", text, re.MULTILINE) == []


@pytest.mark.parametrize(("name", "codes"), [("events.md", EventType), ("reasons.md", Reason)])
def test_every_event_and_reason_is_described(name: str, codes: type[EventType] | type[Reason]) -> None:
    text = (REFERENCE / name).read_text(encoding="utf-8")
    for code in codes:
        assert f"| `{code.value}` | {code.description} |" in text


def test_reference_names_no_file_of_a_machine() -> None:
    for file in (*REFERENCE.glob("*.md"), Path(__file__).parents[1] / "config.example.yaml"):
        assert not re.search(r"/(?:home|root|work|tmp)/", file.read_text(encoding="utf-8")), file.name
