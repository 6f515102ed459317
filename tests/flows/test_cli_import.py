"""An operator imports a list of people, as spreadsheets really write them."""

import csv
import json
from pathlib import Path

import pytest

from tests.support.operator import ACTOR, Operator

GOOD = """identifiant;prénom;nom;courriel;matricule;téléphone;établissement;profil;secteur;dernier jour
mdupont;Marie;Dupont;marie@example.fr;0042;06 12 34 56 78;tilleuls;nurse;2e étage;31/12/2026
pmartin;Paul;Martin;;0043;;Les Tilleuls;aide;;
"""


def put(operator: Operator, content: str | bytes, encoding: str = "utf-8") -> str:
    file = operator.folder / "people.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return str(file)


def names(operator: Operator) -> list[str]:
    return sorted(item["username"] for item in operator.ask("account", "list", "--json"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_operator_imports_a_list_whatever_its_encoding_and_separator(operator: Operator, encoding: str, separator: str) -> None:
    message = operator.do("account", "import", put(operator, GOOD.replace(";", separator), encoding))
    assert "imported 2 account(s) and 2 attachment(s)" in message
    shown = operator.ask("account", "show", "mdupont")
    assert (shown["given_name"], shown["attachments"][0]["sector"]) == ("Marie", "2e étage")
    assert {item["value"] for item in shown["identifiers"]} == {"mdupont", "marie@example.fr", "0042"}
    line = operator.last_event("accounts.imported")
    assert line["actor"] == ACTOR
    assert line["details"] == {"lines": 2, "accounts": 2, "attachments": 2, "wrong_lines": 0, "unchanged": 0}


def test_operator_imports_what_excel_did_to_the_cells(operator: Operator) -> None:
    content = (
        "sep=;\r\n\r\nUsername ;First name;Last Name;Employee number;Mobile;Site;Role;Start date;End date;\r\n"
        '="mdupont";Marie\u00a0;Dupont;="0042";612345678;TILLEULS;Nurse;46023;31/12/2026 ;\r\n'
        ";;;;;;;;;\r\n"
        "'0044;Luc;Petit;'0045;'+33612345679;Residence les glycines;nurse;2026-01-01 00:00:00;;\r\n"
    )
    operator.do("account", "import", put(operator, content, "utf-8-sig"))
    marie = operator.ask("account", "show", "mdupont")
    assert marie["phone_number"] == "+33612345678"
    assert marie["attachments"][0]["first_day"] == "2026-01-01"
    assert {item["value"] for item in operator.ask("account", "show", "0044")["identifiers"]} == {"0044", "0045"}


def test_operator_gets_every_error_with_its_line_and_nothing_is_written_when_one_line_is_wrong(operator: Operator) -> None:
    content = (
        "username,given_name,family_name,email,staff_number,establishment,profile,first_day,last_day\n"
        "good,Anne,Bon,,,tilleuls,nurse,,\n"
        "b@d,,Mal,not-mail,1.2E+05,nowhere,king,32/01/2026,\n"
        '"quoted",Eve,"Long\nname",,,tilleuls,nurse,,\n'
        ",Sans,Nom,,,,,,\n"
        "late,Tard,Venu,,,tilleuls,nurse,2026-02-02,2026-02-01\n"
        "good,Autre,Personne,,,tilleuls,nurse,,\n"
        "wide,Trop,Large,,,tilleuls,nurse,,,surplus\n"
    )
    message = operator.refused("account", "import", put(operator, content))
    for expected in (
        "line 3, username", "line 3, email", "line 3, staff_number", "rounded by the spreadsheet",
        "line 3, establishment", "not one of: glycines, tilleuls",
        "line 3, family_name", "line 3, first_day", "line 6, username: at least one", "line 7, last_day", "line 8: the same identifier as line 2",
        "line 9: 1 more cell(s)",
    ):  # fmt: skip
        assert expected in message
    assert names(operator) == []
    assert operator.events("account") == []


def test_operator_keeps_the_good_lines_when_asked(operator: Operator) -> None:
    content = "username,given_name,family_name\ngood,Anne,Bon\nb d,Jean,Mal\n"
    result = operator.run("account", "import", put(operator, content), "--keep-good")
    assert result.exit_code == 2
    assert "imported 1 account(s)" in result.stdout
    assert "line 3, username" in result.stderr
    assert names(operator) == ["good"]


def test_operator_keeps_no_half_of_a_person_who_has_a_wrong_line(operator: Operator) -> None:
    content = "username,given_name,family_name,establishment,profile\nanne,Anne,Bon,tilleuls,nurse\nanne,Anne,Bon,glycines,king\njean,Jean,Bon,,\n"
    operator.run("account", "import", put(operator, content), "--keep-good")
    assert names(operator) == ["jean"]


def test_operator_changes_nothing_in_a_dry_run(operator: Operator) -> None:
    report = json.loads(operator.do("account", "import", put(operator, GOOD), "--dry-run", "--json"))
    assert (report["accounts"], report["attachments"], report["written"]) == (2, 2, False)
    assert names(operator) == []
    assert operator.events("account") == []


def test_operator_gives_one_person_several_attachments_on_several_lines(operator: Operator) -> None:
    content = "username,given_name,family_name,establishment,profile\nanne,Anne,Bon,tilleuls,nurse\nAnne,ANNE,Bon,glycines,nurse\n"
    assert "imported 1 account(s) and 2 attachment(s)" in operator.do("account", "import", put(operator, content))


def test_operator_imports_twice_and_the_second_changes_nothing(operator: Operator) -> None:
    file = put(operator, GOOD)
    operator.do("account", "import", file)
    assert "already there: Marie Dupont" in operator.refused("account", "import", file)
    assert "2 line(s) unchanged" in operator.do("account", "import", file, "--attach-existing")


def test_operator_attaches_people_already_there_only_under_the_same_name(operator: Operator) -> None:
    operator.do("account", "add", "--username", "mdupont", "--given-name", "Marie", "--family-name", "Dupont")
    header = "username,given_name,family_name,establishment,profile\n"
    other = put(operator, header + "mdupont,Michel,Dupont,tilleuls,nurse\n")
    assert "belongs to Marie Dupont" in operator.refused("account", "import", other, "--attach-existing")
    same = put(operator, header + "mdupont,Marie,DUPONT,tilleuls,nurse\n")
    assert "imported 0 account(s) and 1 attachment(s)" in operator.do("account", "import", same, "--attach-existing")


def test_operator_gets_one_time_passwords_in_a_private_file(operator: Operator) -> None:
    secrets = operator.folder / "passwords.csv"
    operator.do("account", "import", put(operator, GOOD), "--passwords", str(secrets))
    assert secrets.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(secrets.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))
    assert [(row["line"], row["identifier"], len(row["one_time_password"])) for row in rows] == [("2", "mdupont", 23), ("3", "pmartin", 23)]
    assert operator.ask("account", "show", "mdupont")["password"]["must_change"] is True
    operator.refused("account", "import", put(operator, "username,given_name,family_name\nx,A,B\n"), "--passwords", str(secrets))
    assert "x" not in names(operator)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no line of column names"),
        (b"username,colour\na,b\n", "unknown column(s): colour"),
        (b"username,login\na,b\n", "given twice: username"),
        (b'username,nom\n"never closed,b\n', "quotation mark"),
        (b"PK\x03\x04\x00\x00", "not text"),
        (b"username\n\x81\x8d\x8f\n", "neither UTF-8"),
    ],
)
def test_operator_is_told_when_the_file_cannot_be_read(operator: Operator, content: bytes, says: str) -> None:
    assert says in operator.refused("account", "import", put(operator, content))


def test_operator_reads_an_error_without_its_control_characters(operator: Operator, tmp_path: Path) -> None:
    message = operator.refused("account", "import", put(operator, "username,given_name,family_name\n\x1b[31mroot@,A,B\n"))
    assert "\x1b[31mroot" not in message
