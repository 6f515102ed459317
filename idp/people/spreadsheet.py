"""A CSV file as spreadsheets write it, made plain: its encoding, its separator, its headers in French or English, its odd cells.

Owns what Excel and LibreOffice do to a list of people (byte order marks, `sep=;`, `="0012"`, `'0612`, no-break spaces, blank lines). Judges no
value: csv_import.py does. Yields rows with the line number that the person sees in an editor.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from idp.errors import VestibuleError

MAX_BYTES = 20_000_000
COLUMNS = {
    "username": ("username", "user name", "login", "identifiant", "identifiant de connexion", "nom d'utilisateur", "utilisateur"),
    "email": (
        "email",
        "e-mail",
        "mail",
        "e-mail address",
        "courriel",
        "adresse e-mail",
        "adresse email",
        "adresse mail",
        "adresse courriel",
    ),
    "staff_number": (
        "staff number",
        "employee number",
        "number",
        "matricule",
        "numero",
        "numero d'agent",
        "n° d'agent",
        "numero de matricule",
    ),
    "given_name": ("given name", "first name", "prenom", "prenoms"),
    "family_name": ("family name", "last name", "surname", "nom", "nom de famille", "nom d'usage"),
    "phone": ("phone", "phone number", "mobile", "telephone", "numero de telephone", "portable", "tel"),
    "establishment": ("establishment", "site", "etablissement", "residence", "ehpad"),
    "profile": ("profile", "role", "profil", "fonction", "metier"),
    "sector": ("sector", "unit", "floor", "secteur", "unite", "service", "etage"),
    "first_day": ("first day", "start", "start date", "premier jour", "debut", "date de debut", "date d'entree", "date d'arrivee"),
    "last_day": ("last day", "end", "end date", "dernier jour", "fin", "date de fin", "date de sortie", "date de depart"),
    "locale": ("locale", "language", "langue"),
}
_FORMULA_TEXT = re.compile(r'^="(.*)"$', re.DOTALL)


class SheetRefused(VestibuleError):
    """The file as a whole cannot be read; `detail` says why, in English, for an operator."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One line with something on it. `line` counts from 1, headers included; `cells` holds only what is filled in."""

    line: int
    cells: dict[str, str]
    surplus: int = 0


def read_sheet(content: bytes) -> list[SheetRow]:
    """The rows of a file; raises SheetRefused on an unreadable file, an unknown column or one given twice."""
    if len(content) > MAX_BYTES:
        raise SheetRefused("too_large", f"the file is larger than {MAX_BYTES // 1_000_000} MB")
    text = _decode(content)
    hint = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    if hint:
        text = text[hint.end() :]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=hint[1] if hint else _separator(text), strict=True)
    try:
        return list(_rows(lines, skipped=1 if hint else 0))
    except csv.Error as error:
        raise SheetRefused("not_csv", f"line {lines.line_num}: {error}: a quotation mark that is never closed?") from error


def _rows(lines: Any, *, skipped: int) -> Iterator[SheetRow]:
    columns: list[str] | None = None
    start = 1
    for cells in lines:
        line, start = start + skipped, lines.line_num + 1
        tidy = [_tidy(cell) for cell in cells]
        if not any(tidy):
            continue
        if columns is None:
            columns = _columns(tidy)
            continue
        surplus = sum(1 for cell in tidy[len(columns) :] if cell)
        yield SheetRow(line, {name: cell for name, cell in zip(columns, tidy, strict=False) if name and cell}, surplus)
    if columns is None:
        raise SheetRefused("empty", "the file has no line of column names")


def _decode(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        # French Excel writes Windows-1252 unless told otherwise. A handful of bytes mean nothing in it.
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError as error:
            raise SheetRefused("not_text", "the file is neither UTF-8, UTF-16 nor Windows-1252: save it again as CSV UTF-8") from error
    if "\x00" in text:
        raise SheetRefused("not_text", "the file is not text: save the sheet as CSV")
    return text


def _separator(text: str) -> str:
    headers = text.lstrip("\r\n").split("\n", 1)[0]
    return max(";,\t", key=headers.count)


def _columns(headers: list[str]) -> list[str]:
    known = {name: column for column, names in COLUMNS.items() for name in names}
    found = [known.get(_header(header), header) if header else "" for header in headers]
    unknown = [header for header in found if header and header not in COLUMNS]
    if unknown:
        raise SheetRefused("unknown_column", f"unknown column(s): {', '.join(unknown)}; known: {', '.join(COLUMNS)}")
    repeated = {name for name in found if name and found.count(name) > 1}
    if repeated:
        raise SheetRefused("repeated_column", f"column(s) given twice: {', '.join(sorted(repeated))}")
    return found


def _header(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.replace("_", " ").replace("’", "'"))
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(plain.lower().split()).rstrip(" :*")


def _tidy(cell: str) -> str:
    text = cell.replace("\u00a0", " ").replace("\u202f", " ").strip()
    if match := _FORMULA_TEXT.match(text):
        text = match[1].strip()
    return text.removeprefix("'").strip() if re.match(r"^'[\d+=@-]", text) else text
