"""What every connector speaks: the Identity value, the protocols and the one family of errors.

A connector asks a directory or an upstream provider who somebody is; it decides nothing, writes nothing of ours and knows no web. It is called by
idp/signin (proofs) and by idp/lifecycle (standing, sync), which translate these errors where they enter.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol


class Clock(Protocol):
    """The time a connector is given; it reads no other."""

    def now(self) -> datetime:
        """The present instant, aware, UTC."""
        ...


class State(StrEnum):
    """What a source says of a person's account. Only USABLE and MUST_CHANGE may go on to be signed in."""

    USABLE = "usable"
    MUST_CHANGE = "must_change"  # the password has expired, or was set by somebody else
    LOCKED = "locked"  # too many wrong passwords; passes by itself or at an administrator's hand
    DISABLED = "disabled"
    EXPIRED = "expired"  # the account, not the password
    OUT_OF_SCOPE = "out_of_scope"  # an entry is there, but not one that the settings let in


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a connector says about a person at one moment.

    `subject` is the source's lasting id of the person (objectGUID, entryUUID, tid and oid, our own account id): never a name or an address, which
    are reused. `amr` are the RFC 8176 methods that the source saw, empty when it only looked the person up. `groups` are names as the mapping rules
    write them (a group's cn) and full distinguished names, nested ones included, in lower case. `attributes` are the source's words, by the names
    that the settings ask for, in lower case.
    """

    connector: str
    subject: str
    seen_at: datetime
    state: State = State.USABLE
    amr: tuple[str, ...] = ()
    username: str | None = None
    given_name: str = ""
    family_name: str = ""
    email: str | None = None
    number: str | None = None
    phone_number: str | None = None
    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, tuple[str, ...]] | None = None


class ConnectorError(Exception):
    """Root of the family. `detail` is for the log and may name hosts and entries; it never holds a password and never reaches a page."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class CredentialsRefused(ConnectorError):
    """The source does not know the person (`subject` is None), or the proof is wrong. The public is never told which."""

    def __init__(self, detail: str = "", *, subject: str | None = None) -> None:
        super().__init__(detail)
        self.subject = subject


class PersonNotUsable(ConnectorError):
    """The source says disabled, locked, expired or out of scope. `is_proven`: the password was right, so the person may be told."""

    def __init__(self, detail: str = "", *, state: State, subject: str, is_proven: bool) -> None:
        super().__init__(detail)
        self.state = state
        self.subject = subject
        self.is_proven = is_proven


class ChangeRequired(ConnectorError):
    """The proof is right, and the source wants a new password before anything else."""

    def __init__(self, detail: str = "", *, identity: Identity) -> None:
        super().__init__(detail)
        self.identity = identity


class TryWithheld(ConnectorError):
    """The gate did not let the password be tried: nothing was learned of it, and the source has counted nothing."""

    def __init__(self, detail: str = "", *, subject: str | None) -> None:
        super().__init__(detail)
        self.subject = subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """How near a person is to the source's own lock, as it says itself.

    `threshold`: wrong passwords in a row after which it locks; 0: it never does; None: it does not say. `failures`: how many it counts now; None when
    it does not show them. They are forgotten `fades_after` each was made (None: only a success does that, or it is not known); `next_fade_at` is when
    that happens next. `was_locked`: it has locked the person, be it still so or not. `mark` changes with whatever may make a refused password right:
    a new password, a lock lifted.
    """

    threshold: int | None = None
    failures: int | None = None
    fades_after: timedelta | None = None
    next_fade_at: datetime | None = None
    was_locked: bool = False
    mark: str = ""


class Gate(Protocol):
    """Asked before a password is tried at a source. Whoever calls the connector owns the rules; the connector owns what the source shows."""

    def passage(self, source: str, subject: str | None, *, seen: Exposure, look: Callable[[], Exposure]) -> AbstractContextManager[bool]:
        """Whether the password may be tried at this person (None: at nobody, who costs the same); the block tries it, or what looks like it.

        `seen` is what the source said when the person was found; `look` asks again, once or more. The connector lets CredentialsRefused and the other
        errors of its family leave the block, so that the gate learns what came of the try. May raise what `look` raises.
        """
        ...


class OpenGate:
    """Lets every try pass: for commands and tests that answer for themselves."""

    def passage(self, source: str, subject: str | None, *, seen: Exposure, look: Callable[[], Exposure]) -> AbstractContextManager[bool]:
        """See Gate; nothing is asked again."""
        return nullcontext(enter_result=True)


OPEN_GATE = OpenGate()
ChangeProblem = Literal["wrong_current", "too_short", "too_weak", "reused", "too_young", "not_allowed"]


class ChangeRefused(ConnectorError):
    """The source did not take the new password; `problem` is the closest of its reasons that a page has words for."""

    def __init__(self, detail: str = "", *, problem: ChangeProblem) -> None:
        super().__init__(detail)
        self.problem = problem


Trouble = Literal[
    "refused",  # nobody listens, or the name is unknown
    "timeout",
    "closed",  # the connection broke in the middle
    "tls_untrusted",  # the certificate's authority is not ours
    "tls_name",  # the certificate is for another host
    "tls_expired",
    "tls_failed",  # TLS cannot be agreed, or StartTLS is not offered
    "service_account",  # our own bind was refused
    "busy",  # too many of us are waiting for it already
    "paused",  # it failed too often a moment ago and is being left alone
    "unavailable",  # it answered that it cannot answer
]


class SourceUnreachable(ConnectorError):
    """The source did not answer in time or over a trusted connection. It is never read as "the person left"."""

    def __init__(self, detail: str = "", *, trouble: Trouble) -> None:
        super().__init__(detail)
        self.trouble = trouble


class SourceMisbehaved(ConnectorError):
    """The source answered something that must not be believed: a signature, an audience or an entry that is not as agreed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """One line of `vestibule connector check`: what was tried and what came of it, in plain words."""

    title: str
    outcome: Literal["ok", "warning", "failed"]
    explanation: str = ""


class PasswordConnector(Protocol):
    """Checks an identifier and a password against the source."""

    name: str

    def authenticate(self, identifier: str, password: str, *, gate: Gate = OPEN_GATE) -> Identity:
        """Who this is. Raises CredentialsRefused, TryWithheld, PersonNotUsable, ChangeRequired, SourceUnreachable or SourceMisbehaved.

        A person that the source does not know costs as many exchanges as a wrong password does, and as a try that is withheld.
        """
        ...

    def change_password(self, subject: str, current: str, *, new: str, gate: Gate = OPEN_GATE) -> Identity:
        """Replace the person's own password, proving the present one. Raises ChangeRefused, TryWithheld, PersonNotUsable, or the source's errors."""
        ...


class RedirectConnector(Protocol):
    """Sends the browser to an upstream provider and reads what comes back."""

    name: str

    def begin(self, callback_url: str, *, state: str, nonce: str, login_hint: str | None) -> str:
        """The URL to send the browser to. Raises SourceUnreachable when the provider's metadata cannot be read."""
        ...

    def complete(self, parameters: Mapping[str, str], *, callback_url: str, nonce: str) -> Identity:
        """Who came back, everything validated by us. Raises CredentialsRefused, SourceUnreachable or SourceMisbehaved."""
        ...


class NegotiateConnector(Protocol):
    """Accepts a Kerberos ticket that the workstation offers (SPNEGO, RFC 4559)."""

    name: str

    def accept(self, token: bytes) -> tuple[Identity, bytes]:
        """Who holds the ticket, and the answer for the browser. Raises CredentialsRefused (NTLM too), SourceUnreachable or SourceMisbehaved."""
        ...


class DirectoryConnector(Protocol):
    """Looks people up with a service account."""

    name: str

    def find(self, subject: str) -> Identity | None:
        """The person as the directory has them now (any State), or None when it has no such entry. Raises SourceUnreachable or SourceMisbehaved."""
        ...

    def look_up(self, identifier: str) -> Identity | None:
        """The person an identifier names, for operators; None when nobody or several. Raises SourceUnreachable or SourceMisbehaved."""
        ...

    def count(self) -> int | None:
        """About how many people there are, for a progress bar; None when the directory cannot say cheaply. Raises SourceUnreachable."""
        ...

    def people(self) -> Iterator[Identity]:
        """Everybody in scope, page by page. Raises SourceUnreachable or SourceMisbehaved, also in the middle: then nobody may be judged absent."""
        ...

    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step; the last failed step says what to do. Raises nothing of the family."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Directory(PasswordConnector, DirectoryConnector, Protocol):
    """A directory that people sign in with."""
