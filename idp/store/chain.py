"""Chains of the audit trail: what signs a line, and the pens that keep each writer's place in its own chain.

A line's signature is an HMAC-SHA256, under a key that is never in SQL, of the line as it is stored with its writer, its number in that writer's
chain and the signature before it. A write transaction takes a free pen at its first line and gives it back at its end: its head moves only when the
transaction commits, so that no writer waits for another and nothing that was rolled back leaves a hole. Seals and records of purges are signed with
the same key, each under a word of its own. Calls nothing but crypto; docs/audit-trail.md says how to compute a signature with other tools.
"""

import base64
import hmac
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, Self

from idp.clock import Clock
from idp.crypto import Keyring, same

PURPOSE = "audit trail"
# What is signed of a line, in this order. A column that comes later is added at the end and may be null: nulls at the end are left out of what is
# signed, so that older lines verify as before.
SIGNED = (
    "writer", "sequence", "previous", "at", "type", "reason", "actor", "account_id", "identifier_hash", "client_id", "establishment_id",
    "session_id", "grant_id", "connector", "zone", "zone_kind", "zone_why", "device_id", "workstation_id", "decision", "address", "network_chain",
    "user_agent", "amr", "acr", "request_id", "details",
)  # fmt: skip
SIGNED_SEAL = ("number", "at", "heads", "unsigned", "horizon", "seen", "begun", "previous")
SIGNED_RANGE = ("writer", "first", "last", "count", "previous", "last_mac", "until", "retention", "purged_at")
_signed_of = itemgetter(*SIGNED)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Notary:
    """Signs and verifies. Values are as the database holds them: instants as microseconds since 1970, texts as written. Safe between threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, keyring: Keyring) -> Self:
        """The notary of a master key."""
        return cls(keyring.subkey(PURPOSE))

    def sign_line(self, values: Mapping[str, Any]) -> str:
        """The signature of a line, 43 characters."""
        return self.sign_form(line_form(values))

    def sign_form(self, form: str) -> str:
        """The signature of a line in its form."""
        return self._sign(b"line\n", form)

    def sign_seal(self, values: Mapping[str, Any]) -> str:
        """The signature of a seal."""
        return self._sign(b"seal\n", _encode([values[name] for name in SIGNED_SEAL]))

    def sign_range(self, values: Mapping[str, Any]) -> str:
        """The signature of the record of a purge."""
        return self._sign(b"range\n", _encode([values[name] for name in SIGNED_RANGE]))

    def signed_line(self, values: Mapping[str, Any]) -> bool:
        """Whether `values["mac"]` is the signature of the line."""
        return same(self.sign_line(values), values["mac"] or "")

    def signed_values(self, signed: Sequence[Any], mac: Any) -> bool:
        """The same, of the values of the SIGNED columns in their order."""
        return same(self.sign_form(form_of(signed)), mac)

    def signed_seal(self, values: Mapping[str, Any]) -> bool:
        """Whether `values["mac"]` is the signature of the seal."""
        return same(self.sign_seal(values), values["mac"] or "")

    def signed_range(self, values: Mapping[str, Any]) -> bool:
        """Whether `values["mac"]` is the signature of the record."""
        return same(self.sign_range(values), values["mac"] or "")

    def _sign(self, word: bytes, form: str) -> str:
        # surrogatepass: a row that holds half a character, which only a stranger's hand can have put there, is a wrong row and no error.
        mac = hmac.digest(self._key, word + form.encode("utf-8", "surrogatepass"), "sha256")
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def line_form(values: Mapping[str, Any]) -> str:
    """What is signed of a line: the JSON array of its SIGNED columns as they are stored, without spaces and without nulls at the end."""
    return form_of(_signed_of(values))


def form_of(signed: Sequence[Any]) -> str:
    """The same, of the values of the SIGNED columns in their order."""
    end = len(signed)
    while end and signed[end - 1] is None:
        end -= 1
    return _encode(signed[:end])


class Pen(NamedTuple):
    """A place in a chain: the writer, how many lines it has written, the signature of the last."""

    writer: str
    sequence: int = 0
    mac: str = ""


@dataclass(slots=True)
class Pens:
    """The pens of one process, and the notary whose hand they write in. Safe between threads; a process that forks makes its own afterwards.

    As many as transactions that wrote at once. A pen whose transaction may or may not have committed is thrown away, and its chain ends there.
    """

    notary: Notary
    new_writer: Callable[[], str]
    _free: deque[Pen]

    def __init__(self, notary: Notary, new_writer: Callable[[], str]) -> None:
        self.notary = notary
        self.new_writer = new_writer
        self._free = deque()

    @classmethod
    def of(cls, keyring: Keyring, clock: Clock) -> Self:
        """The pens of a process that has the master key."""
        return cls(Notary.of(keyring), clock.new_id)

    def take(self) -> Pen:
        """A free pen, or a new one that begins a chain."""
        try:
            return self._free.pop()
        except IndexError:
            return Pen(self.new_writer())

    def give_back(self, pen: Pen) -> None:
        """For the next transaction."""
        self._free.append(pen)
