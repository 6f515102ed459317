"""What every connector speaks: the Identity value, the protocols and the one family of errors.

A connector asks a directory or an upstream provider who somebody is; it decides nothing, writes nothing of ours and knows no web. It is called by
idp/signin (proofs) and by idp/lifecycle (standing, sync), which translate these errors where they enter.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable


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
    NOT_NOW = "not_now"  # outside the hours, or not from the place, that the source allows; said at a sign-in only
    OUT_OF_SCOPE = "out_of_scope"  # an entry is there, but not one that the settings let in


NO_INSTANT = datetime(1970, 1, 1, tzinfo=UTC)  # stands for no instant: see Identity.password_set_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a connector says about a person at one moment.

    `subject` is the source's lasting id of the person (objectGUID, entryUUID, tid and oid, our own account id): never a name or an address, which
    are reused. `amr` are the RFC 8176 methods that the source saw, empty when it only looked the person up. `groups` are names as the mapping rules
    write them (a group's cn) and full distinguished names, nested ones included, in lower case. `attributes` are the source's words, by the names
    that the settings ask for, in lower case. `logins` are the names, without a realm, that a Kerberos ticket of theirs may hold.
    `ends_at` is when the account ends by itself there, then or later: from that instant `state` is EXPIRED, though nobody writes anything.
    `password_set_at` is when the password was set, by the source's clock and in whole seconds with some; NO_INSTANT when somebody else set it and
    the person has to choose one; None when the source does not say.
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
    logins: tuple[str, ...] = ()
    ends_at: datetime | None = None
    password_set_at: datetime | None = None


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
    """The source answered something that must not be believed: a signature, an audience or an entry that is not as agreed.

    `problem` is one of a closed list where a reason code of ours stands for it (`upstream_<problem>`); None elsewhere.
    """

    def __init__(self, detail: str = "", *, problem: "TokenProblem | None" = None) -> None:
        super().__init__(detail)
        self.problem = problem


class UpstreamRefused(ConnectorError):
    """The provider sent the browser back with an error: the person gave up, or it would not let them (`error`: RFC 6749 section 4.1.2.1)."""

    def __init__(self, detail: str = "", *, error: str) -> None:
        super().__init__(detail)
        self.error = error


TokenProblem = Literal[
    "token_missing",  # no ID token at all
    "token_malformed",
    "algorithm",  # none, or one that is not agreed
    "signature",
    "key_unknown",  # signed by a key that is not in the provider's set, also after it was read again
    "issuer",
    "audience",
    "expired",
    "not_yet_valid",  # nbf or iat in the future
    "nonce",
    "tenant",  # not on the allow list
    "subject",  # missing, or another person than was asked for
    "state",  # the answer belongs to no sign-in of this browser
    "callback_issuer",  # RFC 9207: the answer is of another provider
    "code_refused",  # the token endpoint did not take the code
    "assurance",  # the proof that was asked for was not given
    "too_old",  # auth_time is before what was asked
]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a sign-in wants of an upstream provider. `forces_prompt`: nobody's session there may answer in silence; `max_age` likewise, past that age.

    `wants_mfa`: two factors proven there, where the provider can be asked (an authentication context, acr_values).
    """

    login_hint: str | None = None
    domain_hint: str | None = None
    wants_mfa: bool = False
    forces_prompt: bool = False
    max_age: timedelta | None = None
    ui_locales: str | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """Where to send the browser, and what must be kept, sealed and tied to it, until it comes back (state, nonce, PKCE verifier; JSON values)."""

    url: str
    kept: Mapping[str, Any]

    def __repr__(self) -> str:
        return "Departure(…)"  # a traceback or a log line must not show a verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Who came back, everything validated by us.

    `auth_time`: when the provider says that the person was there; None when it does not say. `acr`: its word for how. `is_multi_factor`: it said, in
    a way that the settings trust, that two factors were proven. `refresh_token`: what the provider may be asked with later.
    """

    identity: Identity
    auth_time: datetime | None = None
    acr: str | None = None
    is_multi_factor: bool = False
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Arrival({self.identity.connector}/{self.identity.subject}, …)"


@dataclass(frozen=True, slots=True)
class Renewal:
    """An upstream's word on a person, asked with a refresh token; `refresh_token` is the next one, None when the present one goes on."""

    identity: Identity
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Renewal({self.identity.connector}/{self.identity.subject}, …)"


class Lapsed(ConnectorError):
    """The upstream asks to see the person again (its refresh token is over, a password changed there): no word on who they are."""


class RedirectConnector(Protocol):
    """Sends the browser to an upstream provider and reads what comes back."""

    name: str

    def begin(self, callback_url: str, *, state: str, ask: Ask) -> Departure:
        """Where to send the browser. Raises SourceUnreachable when the provider's metadata cannot be read."""
        ...

    def complete(self, parameters: Mapping[str, str], *, callback_url: str, kept: Mapping[str, Any]) -> Arrival:
        """Who came back, everything validated by us. Raises UpstreamRefused, CredentialsRefused, PersonNotUsable, SourceUnreachable or
        SourceMisbehaved with its `problem`."""
        ...

    def renew(self, subject: str, refresh_token: str) -> Renewal:
        """Ask again about a person who signed in here. Raises PersonNotUsable, Lapsed, SourceUnreachable or SourceMisbehaved."""
        ...

    def check(self, callback_url: str | None = None) -> Iterator[CheckStep]:
        """Try the settings step by step, in plain words; the credential's expiry too, and whether `callback_url` is registered where that can be
        tried. Raises nothing of the family."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A Kerberos ticket that was accepted. `sid`: the Windows security id in its PAC (S-1-5-…), None when there is none (MIT KDC).

    `principal` is user@REALM as the ticket names it: names are reused, the sid is not. `authenticated_at`: when the person last showed their password
    or card to get it (RFC 4120, authtime), perhaps hours ago. `handle`: the same for every copy of one token, and for no other.
    """

    principal: str
    sid: str | None = None
    authenticated_at: datetime | None = None
    handle: str = ""
    answer: bytes = b""  # for the browser (mutual authentication, RFC 4559 section 5)

    def __repr__(self) -> str:
        return f"Ticket({self.principal}, …)"  # a traceback or a log line must not show what it was got with


TicketProblem = Literal[
    "too_large",
    "ntlm",  # no ticket at all: the browser fell back to a password's hash
    "malformed",
    "expired",
    "replayed",
    "clock",  # the computer's clock, or ours, is wrong
    "other_service",  # for a service, or a key of ours, that is in no keytab
    "other_realm",
    "not_a_person",  # a service, or somebody in another role of theirs
    "delegated",  # got by a service in the name of somebody
    "too_old",  # got with a password that has been replaced since
    "refused",  # anything else that the library does not take
]


class TicketRefused(CredentialsRefused):
    """What the browser offered as a ticket is not accepted; `problem` says why."""

    def __init__(self, detail: str = "", *, problem: TicketProblem) -> None:
        super().__init__(detail)
        self.problem = problem


class NegotiateConnector(Protocol):
    """Accepts a Kerberos ticket that the workstation offers (SPNEGO, RFC 4559)."""

    name: str

    def accept(self, token: bytes) -> Ticket:
        """Whose ticket this is. Raises TicketRefused, SourceUnreachable (no answer in time, too many at once) or SourceMisbehaved (no keytab)."""
        ...

    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step, in plain words. Raises nothing of the family."""
        ...

    def close(self) -> None:
        """Let go of threads."""
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

    def holder_of(self, ticket: "Ticket") -> Identity | None:
        """Whose Kerberos ticket it is, as the directory has them (any State); None when nobody's.

        Raises TicketRefused (too_old) for somebody who could sign in, when the password was replaced since; SourceUnreachable or SourceMisbehaved.
        """
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


class PersonProtected(ConnectorError):
    """The source's own privileged people, or somebody outside what our service account was delegated: never acted on from here."""


class NotDelegated(ConnectorError):
    """Our service account may not do this to anybody; `detail` says which right it lacks."""


class DeskConnector(Protocol):
    """Acts on people with the rights that a service account was delegated, at the hand of somebody entitled: whoever calls has asked who may."""

    name: str

    @property
    def is_delegated(self) -> bool:
        """Whether the settings give it an account to act with; without one every act raises NotDelegated, and is_protected still answers."""
        ...

    def is_protected(self, subject: str) -> bool:
        """Whether nobody acts on this person from here. Raises SourceUnreachable or SourceMisbehaved."""
        ...

    def unlock(self, subject: str) -> bool:
        """Lift the source's own lock; False when there was none. Never re-enables anybody.

        Raises PersonProtected, PersonNotUsable (disabled, expired, out of scope, gone), NotDelegated, SourceUnreachable or SourceMisbehaved.
        """
        ...

    def reset_password(self, subject: str, new: str) -> None:
        """Replace the password by one that the source wants changed before anything else, and lift its lock.

        Raises PersonProtected, PersonNotUsable (disabled, expired, out of scope, gone), ChangeRefused, NotDelegated, SourceUnreachable or
        SourceMisbehaved.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One thing that a directory said by itself, or that an attentive reading of it brought.

    person: `subject` was changed, or is new; ask for them by the lasting id. gone: `subject` is there no more. members: a group changed: `subjects`
    are those who came to it or left it, None when that cannot be told: then whoever is in it now, or was placed by it, must be asked for; `groups`
    are its names, as Identity.groups has them. quiet: nothing happened, and the line is alive. lost: changes may have been missed: everything must be
    read again; the watcher hears already what happens meanwhile.

    `cursor`: what to begin with the next time, once everything up to here was acted on; None: as before. `written_at`: when the directory says that
    it was written; `heard_at`: when it reached us.
    """

    kind: Literal["person", "gone", "members", "quiet", "lost"]
    heard_at: datetime
    subject: str = ""
    subjects: frozenset[str] | None = None
    groups: frozenset[str] = frozenset()
    written_at: datetime | None = None
    cursor: bytes | None = None


class Watcher(Protocol):
    """Listens to one directory, for one thread."""

    name: str

    def listen(self, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """What changed since `cursor`, then what changes, as it happens, until `close`. The first word without a cursor is "lost".

        `known` gives the lasting ids of everybody whom we know from there, for directories that only say who is still present. "quiet" comes at least
        every few seconds. Raises SourceUnreachable or SourceMisbehaved: begin again, with the last cursor; a cursor that the directory does not take
        any more is no error: "lost".
        """
        ...

    def close(self) -> None:
        """Stop listening, from any thread; `listen` ends soon after."""
        ...


@runtime_checkable
class WatchedDirectory(Protocol):
    """A directory that can be listened to."""

    def watcher(self) -> Watcher | None:
        """A new watcher with a connection of its own; None when the settings turn it off."""
        ...


class Canary(Protocol):
    """Somebody of a directory who does not exist, disabled and enabled again on purpose. Nobody else's state is ever written from here."""

    login: str

    def disable(self, subject: str) -> None:
        """As an administrator does. Raises PersonProtected, PersonNotUsable, NotDelegated, SourceUnreachable or SourceMisbehaved."""
        ...

    def enable(self, subject: str) -> None:
        """Take exactly that back; nothing when they are enabled. Raises as `disable`."""
        ...


@runtime_checkable
class CanaryDirectory(Protocol):
    """A directory whose path may be measured."""

    def canary(self) -> Canary | None:
        """Its canary; None when the settings name none."""
        ...


class PeopleSource(Protocol):
    """Whatever says who somebody is now, and who is there: a directory, or what is known of a provider's people (see DirectoryConnector)."""

    name: str

    def find(self, subject: str) -> Identity | None:
        """See DirectoryConnector."""
        ...

    def count(self) -> int | None:
        """See DirectoryConnector."""
        ...

    def people(self) -> Iterator[Identity]:
        """See DirectoryConnector."""
        ...


@runtime_checkable
class WatchedProvider(Protocol):
    """An upstream provider that can be asked about people who are not there, and listened to. It lists nobody."""

    name: str

    def find(self, subject: str) -> Identity | None:
        """See DirectoryConnector."""
        ...

    def watcher(self) -> Watcher | None:
        """See WatchedDirectory."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Directory(PasswordConnector, DirectoryConnector, DeskConnector, Protocol):
    """A directory that people sign in with."""
