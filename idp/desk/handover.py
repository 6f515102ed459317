"""The two halves in which a Reset is handed out, and the code by which its person stops it: how they are made and recognised again.

Owns the codes. What is kept is a keyed hash, bound to the purpose (and the sent half to its Reset): a half of one opens nothing of another. The
stop code is derived from the Reset, so that every notice can name it and nothing keeps it. Who may have one is idp/desk/resets.py's.
"""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from idp.clock import Clock, encode_crockford
from idp.crypto import Keyring
from idp.signin.typed_code import make_code, read_code
from idp.store.base import Reset

SPOKEN, SENT, STOP = "spoken half of a reset", "sent half of a reset", "stop code of a reset"
GROUPS, GROUP_LENGTH = 2, 4  # 40 random bits each; both are needed, and tries are counted in SQL
STOP_LENGTH = 10
Channel = Literal["sms", "email", "witness"]


@dataclass(frozen=True, slots=True)
class Handover:
    """What the agent says or prints, shown once, and where the other half went.

    `sent_hint` is masked; "" for a witness, who has yet to be shown it.
    """

    spoken: str
    sent_channel: Channel
    sent_hint: str
    spoken_until: datetime
    sent_until: datetime

    def __repr__(self) -> str:
        return f"Handover({self.sent_channel}, …)"  # a traceback or a log line must not show a half


@dataclass(frozen=True, slots=True)
class ShownHalf:
    """The other half, as a witness sees it once."""

    code: str
    until: datetime

    def __repr__(self) -> str:
        return "ShownHalf(…)"


INTERIM_SEAL = "interim password of a reset"


def make_interim(clock: Clock) -> str:
    """A password that a directory holds until the person has chosen theirs: 125 random bits, of all four classes; nobody ever sees it."""
    return make_code(clock, groups=5, length=5) + "-a7"


def open_interim(keyring: Keyring, reset: Reset) -> str | None:
    """The directory's interim password, to be replaced by the person's own; None when there is none (any more). VestibuleError("seal_broken")."""
    return keyring.unseal(INTERIM_SEAL, reset.sealed, reset.id).decode() if reset.sealed is not None else None


def make_half(clock: Clock) -> str:
    """`XXXX-XXXX`."""
    return make_code(clock, groups=GROUPS, length=GROUP_LENGTH)


def spoken_digest(keyring: Keyring, typed: str) -> str | None:
    """By what the store knows a spoken half, however it was typed; None when it cannot be one."""
    code = read_code(typed)
    return keyring.keyed_hash(SPOKEN, code) if len(code) == GROUPS * GROUP_LENGTH else None


def sent_digest(keyring: Keyring, reset_id: str, typed: str) -> str:
    """By what the store knows the sent half of one Reset; compare it with crypto.same."""
    return keyring.keyed_hash(SENT, f"{reset_id} {read_code(typed)}")


def stop_code(keyring: Keyring, reset_id: str) -> str:
    """`XXXXX-XXXXX`: always the same of one Reset, and of no other."""
    mac = base64.urlsafe_b64decode(keyring.keyed_hash(STOP, reset_id) + "=")
    code = encode_crockford(int.from_bytes(mac[:7]) % (1 << 5 * STOP_LENGTH), STOP_LENGTH)
    return f"{code[:5]}-{code[5:]}"


def stop_digest(keyring: Keyring, typed: str) -> str | None:
    """By what the store knows a stop code; None when it cannot be one."""
    code = read_code(typed)
    return keyring.keyed_hash(STOP, f"typed {code}") if len(code) == STOP_LENGTH else None
