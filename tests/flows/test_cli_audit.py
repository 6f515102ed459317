"""An operator reads the trail: the last lines, an export, one support code; and moves the signing keys."""

import csv
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.operator import ACTOR, Operator
from tests.support.world import World


def test_operator_reads_the_last_lines_with_names_and_codes(operator: Operator) -> None:
    operator.do("account", "add", "--username", "m", "--given-name", "Marie", "--family-name", "Dupont")
    shown = operator.do("audit", "tail", "-n", "1")
    assert re.search(r"account\.added +Marie Dupont \(operator:.+\) +local +[0-9A-Z]{5}-[0-9A-Z]{5}", shown)
    assert len(operator.do("audit", "tail", "--json", "--type", "establishment").splitlines()) == 2


def test_operator_filters_the_trail(operator: Operator) -> None:
    operator.do("account", "add", "--username", "m", "--establishment", "tilleuls", "--profile", "aide")
    operator.do("client", "add", "notes", "--name", "N", "--redirect-uri", "https://a.example/cb")

    def types(*arguments: str) -> list[str]:
        return [json.loads(line)["type"] for line in operator.do("audit", "tail", "--json", *arguments).splitlines()]

    assert types("--account", "m") == ["account.added", "attachment.added"]
    assert types("--client", "notes") == ["client.changed"]
    assert types("--establishment", "tilleuls") == ["establishment.changed", "attachment.added"]
    assert types("--since", "1h", "--type", "client") == ["client.changed"]
    assert types("--until", "2020-01-01") == []
    assert "not an instant" in operator.refused("audit", "tail", "--since", "yesterday")


def test_operator_follows_the_trail_as_it_is_written(operator: Operator) -> None:
    command = [
        sys.executable,
        "-c",
        "from idp.cli import main; main()",
        "--config",
        str(operator.config_path),
        "audit",
        "tail",
        "-n",
        "0",
        "-f",
    ]
    shown = operator.folder / "tail.txt"
    with shown.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL) as tail:
        deadline, number = time.monotonic() + 60, 0
        # It may not have begun to follow when the first lines are written.
        while "account.added" not in shown.read_text() and time.monotonic() < deadline:
            number += 1
            operator.do("account", "add", "--username", f"m{number}")
            time.sleep(0.3)
        tail.terminate()
    assert "account.added" in shown.read_text()


def test_operator_exports_json_lines_and_the_export_is_recorded(operator: Operator) -> None:
    operator.do("account", "add", "--username", "m")
    lines = [json.loads(line) for line in operator.do("audit", "export", "--type", "account").splitlines()]
    assert [line["type"] for line in lines] == ["account.added"]
    record = operator.last_event("audit.exported")
    assert (record["actor"], record["details"]) == (ACTOR, {"format": "jsonl", "type_prefix": "account"})


def test_operator_exports_csv_in_which_nothing_a_stranger_typed_is_a_formula(world: World) -> None:
    browser = world.browser(user_agent='=HYPERLINK("http://evil.example";"x")')
    browser.get("/authorize?client_id=nobody")
    operator = Operator(world.config_path, clock=world.clock)
    file = operator.folder / "trail.csv"
    operator.do("audit", "export", "--format", "csv", "--output", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(io.StringIO(file.read_bytes().decode())))
    assert rows[-2]["user_agent"].startswith("'=HYPERLINK") or rows[-1]["user_agent"].startswith("'=HYPERLINK")
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    assert "cannot write a new file" in operator.refused("audit", "export", "--output", str(file))


def test_operator_finds_what_a_support_code_means_however_it_is_dictated(world: World) -> None:
    page = world.browser().get("/authorize?client_id=nobody")
    code = page.support_code
    assert code is not None
    operator = Operator(world.config_path, clock=world.clock)
    for typed in (code, f"{code[:5]}-{code[5:]}", code.lower(), code.replace("0", "o").replace("1", "l")):
        shown = operator.do("audit", "show", typed)
        assert "authorization.refused" in shown
        assert "reason: unknown_client: No such client" in shown
    assert "no line of the trail" in operator.refused("audit", "show", "00000-00000")
    assert "not a support code" in operator.refused("audit", "show", "abc")


def test_operator_reads_the_trail_without_the_control_characters_of_strangers(world: World) -> None:
    world.browser(user_agent="evil\x1b]0;owned\x07").get("/authorize?client_id=nobody")
    line = world.last_event("authorization.refused")
    assert "\x1b" not in Operator(world.config_path, clock=world.clock).do("audit", "show", line["request_id"])


def test_operator_rotates_the_signing_keys(world: World) -> None:
    operator = Operator(world.config_path, clock=world.clock)
    before = {key["kid"]: key["state"] for key in operator.ask("keys", "list", "--json")}
    operator.do("keys", "rotate", "--urgent")
    after = {key["kid"]: key["state"] for key in operator.ask("keys", "list", "--json")}
    assert not after.keys() & {kid for kid, state in before.items() if state == "current"}  # the stolen key is gone
    assert {after[kid] for kid, state in before.items() if state == "next"} == {"current"}
    assert world.last_event("keys.rotated")["actor"] == ACTOR
    assert "must have been published" in operator.refused("keys", "rotate")


def test_operator_makes_a_master_key_that_is_private_and_never_overwritten(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "new.key"
    operator.do("keys", "new-master", str(file))
    made = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(made.strip()) == 43
    assert "never overwritten" in operator.refused("keys", "new-master", str(file))
    assert file.read_text() == made


def test_operator_sees_what_waits_to_be_told_to_applications(world: World) -> None:
    world.sign_in("claire", "carnet")
    operator = Operator(world.config_path, clock=world.clock)
    operator.do("account", "suspend", world.person("claire").username)
    listed = operator.ask("outbox", "list", "--json")
    assert listed["waiting"] == 1
    assert (listed["notices"][0]["state"], listed["notices"][0]["cause"]) == ("waiting", "account_cut")
    assert "1 waiting" in operator.do("outbox", "list")


@pytest.mark.parametrize("arguments", [("acount",), ("account", "fly"), ("audit", "tail", "-n", "many")])
def test_operator_is_told_when_a_command_is_misspelt(operator: Operator, arguments: tuple[str, ...]) -> None:
    operator.refused(*arguments)
