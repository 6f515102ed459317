"""A real slapd with the people of a group of homes: `establishments` homes, each with a group of nurses and one of aides.

The server is that of the tests (tests/support/slapd.py: ppolicy, LDAPS); this module owns who is in it, and its processor time. People are
loaded offline (slapadd), as a migration does. Person number n works at home number n modulo establishments; every third one is an aide.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import processes
from tests.support.slapd import Slapd
from tests.support.slapd_cast import GROUPS, PASSWORD, PEOPLE, ldif_entry, person_ldif

NAME = "annuaire"
GIVEN_NAMES = ("Claire", "Hugo", "Amina", "Zoé", "Paul", "Rémi", "Léa", "Noa", "Inès", "Malik")
FAMILY_NAMES = ("Dumont", "Delmas", "Diallo", "Éluard", "Derain", "Dorval", "Dufour", "Nguyen", "Da Silva", "Le Goff", "Bernard")
MAPPING: tuple[dict[str, str], ...] = (
    {"group": "{establishment}-ide", "establishment": "{establishment}", "profile": "nurse"},
    {"group": "{establishment}-aides", "establishment": "{establishment}", "profile": "aide"},
)


def slugs(establishments: int) -> tuple[str, ...]:
    """The homes' slugs."""
    return tuple(f"residence-{number:03d}" for number in range(establishments))


def uids(people: int) -> tuple[str, ...]:
    """What people type as their login; all have the password PASSWORD of tests/support/slapd.py."""
    return tuple(f"p{number:05d}" for number in range(people))


def ldif(people: int, establishments: int) -> str:
    """Everybody and their groups, for slapadd. No group is empty: groupOfNames has none (RFC 4519)."""
    names = uids(people)
    members: dict[str, list[str]] = {}
    entries = []
    for number, uid in enumerate(names):
        given_name, family_name = GIVEN_NAMES[number % len(GIVEN_NAMES)], FAMILY_NAMES[number % len(FAMILY_NAMES)]
        entries.append(person_ldif(uid, given_name, family_name, mail=f"{uid}@annuaire.example", employeeNumber=f"{100_000 + number}"))
        group = "aides" if number // establishments % 3 == 2 else "ide"
        members.setdefault(f"{slugs(establishments)[number % establishments]}-{group}", []).append(f"uid={uid},{PEOPLE}")
    for name, those in members.items():
        entries.append(ldif_entry(f"cn={name},{GROUPS}", {"objectClass": "groupOfNames", "cn": name, "member": those}))
    return "".join(entries)


@dataclass(frozen=True, slots=True)
class Directory:
    """A running slapd. Its own cast of a few people (tests/support/slapd_cast.py) is in no home."""

    slapd: Slapd
    people: tuple[str, ...]
    establishments: tuple[str, ...]
    password: str = PASSWORD

    def settings(self) -> dict[str, Any]:
        """Its entry in `directories`, with the product's own timeouts and bounds."""
        entry = self.slapd.settings(name=NAME, mapping=[dict(rule) for rule in MAPPING])
        return {key: value for key, value in entry.items() if key not in {"connect_timeout", "receive_timeout", "attributes"}}

    def cpu_seconds(self) -> float:
        """User and system time used so far."""
        return processes.cpu_seconds([self._pid()])

    def rss_mb(self) -> float:
        """Resident memory in MB; the database is mapped into it."""
        return processes.rss_mb(self._pid())

    def _pid(self) -> int:
        return int((self.slapd.folder / "slapd.pid").read_text())


@contextmanager
def serving(people: int, establishments: int) -> Iterator[Directory]:
    """A slapd with these people for the length of the block, on the cores of this process."""
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-slapd-") as name:
        slapd = Slapd(Path(name) / "slapd")
        try:
            slapd.load(ldif(people, establishments))
            yield Directory(slapd, uids(people), slugs(establishments))
        finally:
            slapd.stop()


def in_turn(names: Sequence[str], seed: int) -> Iterator[str]:
    """The names shuffled, the same way for the same seed, again and again: nobody twice before everybody once."""
    order = list(names)
    random.Random(seed).shuffle(order)
    while True:
        yield from order
