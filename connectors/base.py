"""What every connector speaks: the Identity value, the four protocols and the five errors.

A connector asks a directory or an upstream provider who somebody is; it decides nothing, writes nothing of ours and knows no web. It is called by
idp/signin (proofs) and by the lifecycle (pushes and polls), which translate these errors where they enter. One package, one closed family of errors.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a connector says about a person at one moment.

    `subject` is the source's lasting id of the person (objectGUID, entryUUID, tid and oid, our own account id): never a name or an address, which
    are reused. `amr` are the RFC 8176 methods that the source saw, empty when it only looked the person up. `attributes` are the source's words.
    """

    connector: str
    subject: str
    seen_at: datetime
    amr: tuple[str, ...] = ()
    username: str | None = None
    given_name: str = ""
    family_name: str = ""
    email: str | None = None
    is_active: bool = True
    must_change_password: bool = False
    groups: frozenset[str] = frozenset()
    attributes: Mapping[str, tuple[str, ...]] | None = None


class ConnectorError(Exception):
    """Root of the family. `detail` is for the log and may name hosts and entries; it never holds a password and never reaches a page."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail


class CredentialsRefused(ConnectorError):
    """The source does not know the person, or the proof is wrong: the two are not told apart."""


class PersonNotUsable(ConnectorError):
    """The proof may be right, but the source says disabled, locked or expired."""


class ChangeRequired(ConnectorError):
    """The proof is right, and the source wants a new password before anything else."""


class SourceUnreachable(ConnectorError):
    """The source did not answer in time or over a trusted connection. It is never read as "the person left"."""


class SourceMisbehaved(ConnectorError):
    """The source answered something that must not be believed: a signature, an audience or an entry that is not as agreed."""


class PasswordConnector(Protocol):
    """Checks an identifier and a password against the source."""

    name: str

    def authenticate(self, identifier: str, password: str) -> Identity:
        """Who this is. Raises CredentialsRefused, PersonNotUsable, ChangeRequired, SourceUnreachable or SourceMisbehaved."""
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
    """Looks people up and says when they change, with a service account."""

    name: str

    def find(self, subject: str) -> Identity | None:
        """The person as the directory has them now, or None when it has no such entry. Raises SourceUnreachable or SourceMisbehaved."""
        ...

    def watch(self, since: bytes | None) -> Iterator[tuple[Identity, bytes]]:
        """Changes from a cookie on (None: everybody first), each with the cookie that stands after it. Raises SourceUnreachable."""
        ...
