"""The telephone of the demonstration: an authenticator application, messages, recovery codes on paper, so that a visitor needs none of their own.

Owns one private file in the demonstration's folder, and reads the one that the SMS gateway of type `file` writes. What it holds opens the invented
accounts only, which are refused anywhere but on this machine. RFC 6238: six digits every thirty seconds.
"""

import base64
import binascii
import json
import os
import re
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp

STEP_SECONDS = 30
SHOWN_FOR = timedelta(minutes=10)
MOST_SHOWN = 3
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """One account of the authenticator application. `account` is "" for what a visitor added."""

    name: str
    secret: str
    account: str = ""


@dataclass(frozen=True, slots=True)
class Paper:
    """A sheet of recovery codes."""

    name: str
    account: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A code as the application shows it: `digits` in two groups."""

    name: str
    account: str
    digits: str


@dataclass(frozen=True, slots=True)
class Sms:
    """A message that arrived. `to` as French people write a number; `code` is what of it can be typed, "" when nothing can."""

    to: str
    text: str
    at: datetime
    code: str


class NoKey(ValueError):
    """What was typed is not a key that an authenticator application takes."""


class Telephone:
    """Safe between threads; the demonstration's processes write one after the other."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "telephone.json"
        self._sms = folder / "sms.jsonl"
        self._lock = threading.Lock()

    def papers(self) -> tuple[Paper, ...]:
        """The sheets."""
        return self._read()[1]

    def codes(self, now: datetime) -> tuple[Shown, ...]:
        """The present code of each account."""
        return tuple(
            Shown(entry.name, entry.account, f"{digits[:3]} {digits[3:]}")
            for entry in self._read()[0]
            for digits in [pyotp.TOTP(entry.secret).at(int(now.timestamp()))]
        )

    def messages(self, now: datetime) -> tuple[Sms, ...]:
        """The SMS of the last minutes, newest first."""
        try:
            lines = self._sms.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ()
        found = [_sms(json.loads(line)) for line in lines[-MOST_SHOWN * 2 :]]
        return tuple(one for one in reversed(found) if now - one.at <= SHOWN_FOR)[:MOST_SHOWN]

    def forget_messages(self) -> None:
        """As if none had arrived."""
        self._sms.unlink(missing_ok=True)

    def add(self, entry: Entry) -> None:
        """Add an account; of one that it has already (or of one of the same name, which a visitor added), take the new key."""
        with self._lock:
            entries, papers = self._read()
            kept = [one for one in entries if (one.account or one.name) != (entry.account or entry.name)]
            self._write([*kept, entry], papers)

    def put_paper(self, paper: Paper) -> None:
        """Add a sheet, in the place of the one that the account had."""
        with self._lock:
            entries, papers = self._read()
            self._write(entries, [*(one for one in papers if one.account != paper.account), paper])

    def _read(self) -> tuple[tuple[Entry, ...], tuple[Paper, ...]]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return (), ()
        entries = tuple(Entry(**one) for one in kept["entries"])
        return entries, tuple(Paper(one["name"], one["account"], tuple(one["codes"])) for one in kept["papers"])

    def _write(self, entries: Iterable[Entry], papers: Iterable[Paper]) -> None:
        kept = {"entries": [asdict(one) for one in entries], "papers": [asdict(one) for one in papers]}
        text = json.dumps(kept, ensure_ascii=False, indent=1)
        new = self._file.with_suffix(".new")
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            output.write(text)
        new.replace(self._file)


def seconds_left(now: datetime) -> int:
    """How long the present codes still serve: 1 to 30."""
    return STEP_SECONDS - int(now.timestamp()) % STEP_SECONDS


def read_key(typed: str, name: str) -> Entry:
    """A visitor's account from the key that a page shows (`JBSW Y3DP ...`), or from an otpauth:// address. Raises NoKey."""
    text = typed.strip()
    if text.lower().startswith("otpauth://totp/"):
        parts = urlsplit(text)
        name = name or unquote(parts.path.lstrip("/")).rpartition(":")[2]
        text = parse_qs(parts.query).get("secret", [""])[0]
    secret = re.sub(r"[\s-]", "", text).upper().rstrip("=")
    try:
        size = len(base64.b32decode(secret + "=" * (-len(secret) % 8)))
    except binascii.Error as error:
        raise NoKey(typed) from error
    if not 10 <= size <= 64:
        raise NoKey(typed)
    return Entry(" ".join(name.split())[:LONGEST_NAME], secret)


def _sms(line: dict[str, str]) -> Sms:
    number = line["to"].replace("+33", "0", 1)
    found = re.search(r"\b\d{6}\b|\b\d{3} \d{3}\b", line["text"])
    return Sms(" ".join(re.findall(r"\+?\d{1,2}", number)), line["text"], datetime.fromisoformat(line["at"]), found[0] if found else "")
