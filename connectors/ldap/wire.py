"""One connection to one LDAP server, over ldap3: opened, secured, bound, asked. The only module that imports ldap3.

Owns what ldap3 must not decide: names are resolved and certificates verified with the standard library, referrals are never followed, schemas never
read, values taken raw, and no ldap3 object that holds a password is ever shown or kept. Its exceptions leave as the family of connectors.base.
"""

import math
import socket
import ssl
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, NoReturn

from connectors.base import SourceMisbehaved, SourceUnreachable, Trouble
from connectors.ldap.address import ServerAddress
from connectors.ldap.policy_control import PASSWORD_POLICY, PolicyAnswer, read_policy_answer

with warnings.catch_warnings():
    # ldap3 2.9.1 asks pyasn1 for names that it has deprecated.
    warnings.filterwarnings("ignore", message=r"(tagMap|typeMap) is deprecated", category=DeprecationWarning)
    import ldap3
    from ldap3.core import exceptions as ldap3_exceptions
    from ldap3.operation.search import search_operation
    from ldap3.protocol.rfc3062 import PasswdModifyRequestValue
    from ldap3.utils.asn1 import decode_message_fast

SUCCESS, SIZE_LIMIT_EXCEEDED, REFERRAL, CONFIDENTIALITY_REQUIRED, CONSTRAINT_VIOLATION = 0, 4, 10, 13, 19
NO_SUCH_ATTRIBUTE, NO_SUCH_OBJECT, INVALID_CREDENTIALS, INSUFFICIENT_ACCESS, UNWILLING, ASSERTION_FAILED = 16, 32, 49, 50, 53, 122
VERBS = {"replace": ldap3.MODIFY_REPLACE, "add": ldap3.MODIFY_ADD, "delete": ldap3.MODIFY_DELETE}
ASSERTION = "1.3.6.1.1.12"  # RFC 4528
CANNOT_ANSWER = {1: "operations error", 51: "busy", 52: "unavailable", 80: "internal error"}
PASSWORD_MODIFY = "1.3.6.1.4.1.4203.1.11.1"  # noqa: S105 - an operation's name (RFC 3062)
PAGED_RESULTS = "1.2.840.113556.1.4.319"
MAX_ADDRESSES = 3
RECEIVED_AT_ONCE = 65_536
NOT_YET_VALID, EXPIRED, WRONG_NAME, WRONG_ADDRESS = 9, 10, 62, 64  # X509_V_ERR_*, as ssl.SSLCertVerificationError.verify_code
Depth = Literal["base", "subtree"]
Values = Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it was read; attribute names are in lower case, values raw."""

    dn: str
    values: Values = field(repr=False)

    def texts(self, attribute: str | None) -> tuple[str, ...]:
        """The values of an attribute as text; those that are not text are left out."""
        found = self.values.get(attribute.lower(), ()) if attribute else ()
        return tuple(text for value in found if (text := _as_text(value)))

    def text(self, attribute: str | None) -> str | None:
        """The first of them."""
        texts = self.texts(attribute)
        return texts[0] if texts else None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search brought. `is_cut`: the server held some back (size limit). `cookie` asks for the next page; empty after the last."""

    entries: tuple[Entry, ...]
    is_cut: bool
    cookie: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message about a search that was only asked (Wire.ask): `number` says which.

    entry: an `entry`. note: an intermediate response (RFC 4511 section 4.13), `name` and `value`. done: the end, with its result `code` and the
    server's `words`. other: a reference to another server, which is left alone. `controls` by their names, undecoded.
    """

    number: int
    kind: Literal["entry", "note", "done", "other"]
    entry: Entry | None = None
    name: str = ""
    value: bytes = field(default=b"", repr=False)
    code: int = SUCCESS
    words: str = ""
    controls: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a server answered a bind or a change: LDAP result code, its own words, and the password policy control."""

    code: int
    message: str
    policy: PolicyAnswer


@dataclass(frozen=True, slots=True)
class Change:
    """One part of a modify. A `delete` without values takes the attribute away; with them, exactly those, and fails when one is not there."""

    verb: Literal["replace", "add", "delete"]
    attribute: str
    values: tuple[bytes, ...] = field(default=(), repr=False)


class Tls(ldap3.Tls):  # type: ignore[misc]  # ldap3 has no types
    """ldap3's place for TLS, filled with the standard library's: chain, name or IP address, SNI; the failure is kept as it was."""

    def __init__(self, context: ssl.SSLContext, host: str, timeout_seconds: float) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context
        self._host = host
        self._timeout_seconds = timeout_seconds
        self.failure: Exception | None = None

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: FBT001, FBT002 - ldap3's signature
        """Called by ldap3 when a connection must be secured."""
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # 45 ms saved on each handshake
        connection.socket.settimeout(self._timeout_seconds)
        try:
            connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)
        except (OSError, ValueError) as error:
            self.failure = error
            raise


class Wire:
    """An open, secured connection, for one thread at a time. Methods raise SourceUnreachable or SourceMisbehaved; it is then of no more use."""

    def __init__(
        self, address: ServerAddress, context: ssl.SSLContext | None, *, connect_timeout: timedelta, receive_timeout: timedelta
    ) -> None:
        """Connect and begin TLS; nobody is bound yet. `context` is None only for a clear connection."""
        self.address = address
        self._receive_seconds = receive_timeout.total_seconds()
        connect_seconds = connect_timeout.total_seconds()
        addresses = resolve(address)[:MAX_ADDRESSES]
        for number, ip in enumerate(addresses, 1):
            try:
                self._connection = self._open(ip, context, connect_seconds / len(addresses))
                return
            except SourceUnreachable:
                if number == len(addresses):
                    raise

    def _open(self, ip: str, context: ssl.SSLContext | None, seconds: float) -> Any:
        tls = Tls(context, self.address.host, seconds) if context and self.address.protection != "clear" else None
        server = ldap3.Server(
            ip,
            port=self.address.port,
            use_ssl=self.address.protection == "ldaps",
            tls=tls,
            get_info=ldap3.NONE,
            mode=ldap3.IP_SYSTEM_DEFAULT,
            connect_timeout=seconds,
            allowed_referral_hosts=[],
        )
        connection = ldap3.Connection(
            server,
            client_strategy=ldap3.SYNC,  # SAFE_SYNC copies every answer deeply, for threads that share a connection: ours serves one at a time
            return_empty_attributes=False,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            auto_range=False,
            auto_escape=False,
            check_names=False,
            raise_exceptions=False,
            receive_timeout=max(1, math.ceil(seconds)),  # ldap3 wants an int; the socket is told the exact time below
        )
        try:
            connection.open(read_server_info=False)
            connection.socket.settimeout(seconds)
            if self.address.protection == "start_tls":
                connection.start_tls(read_server_info=False)
            connection.socket.settimeout(self._receive_seconds)
        except Exception as error:
            _let_go(connection)
            if tls is not None and tls.failure is not None:
                raise _tls_trouble(self.address, tls.failure) from error
            self._translate(error)
        return connection

    def certificate(self) -> Mapping[str, Any] | None:
        """The server's verified certificate as `ssl` describes it; None on a clear connection."""
        peer = getattr(self._connection.socket, "getpeercert", None)
        found: Mapping[str, Any] | None = peer() if peer else None
        return found

    def bind(self, dn: str, password: bytes) -> Answer:
        """Prove a password (RFC 4513 section 5.1.3), asking for the password policy's words. An empty password raises ValueError: a server
        takes it for an anonymous bind and says yes (section 5.1.2)."""
        if not password or not dn:
            raise ValueError("a bind needs a name and a password")
        connection = self._connection
        connection.user, connection.password, connection.authentication = dn, password, ldap3.SIMPLE
        try:
            connection.bind(read_server_info=False, controls=[(PASSWORD_POLICY, False, None)])
            return self._answer()
        except Exception as error:
            self._translate(error)
        finally:
            connection.password = None
            self._forget()

    def change_password(self, dn: str, current: bytes | None, *, new: bytes) -> Answer:
        """RFC 3062 Password Modify, for the entry `dn`. `current` is None when somebody else than its owner is bound (slapd wants it so)."""
        request = PasswdModifyRequestValue()
        request["userIdentity"], request["newPasswd"] = dn.encode(), new
        if current is not None:
            request["oldPasswd"] = current
        try:
            self._connection.extended(PASSWORD_MODIFY, request, [(PASSWORD_POLICY, False, None)])
            return self._answer()
        except Exception as error:
            self._translate(error)
        finally:
            self._forget()

    def replace_password(self, dn: str, *, new: bytes) -> Answer:
        """The same by an ordinary modify: 389 Directory Server tells its reasons only so."""
        change = {"userPassword": [(ldap3.MODIFY_REPLACE, [new])]}
        try:
            self._connection.modify(dn, change, [(PASSWORD_POLICY, False, None)])
            return self._answer()
        except Exception as error:
            self._translate(error)
        finally:
            self._forget()

    def exchange_password(self, dn: str, current: str, *, new: str) -> Answer:
        """Active Directory's own way: the present password taken away and the new one added, in one modify. The server verifies the present one."""
        change = {"unicodePwd": [(ldap3.MODIFY_DELETE, [quoted(current)]), (ldap3.MODIFY_ADD, [quoted(new)])]}
        try:
            self._connection.modify(dn, change)
            return self._answer()
        except Exception as error:
            self._translate(error)
        finally:
            self._forget()

    def alter(self, dn: str, changes: Sequence[Change], *, unless: tuple[str, str] | None = None) -> Answer:
        """One modify of somebody else's entry, all of it or nothing. `unless`: an attribute and a value with which nothing is changed, even if
        somebody writes it at this very moment (RFC 4528); the answer is then ASSERTION_FAILED."""
        wanted: dict[str, list[tuple[str, list[bytes]]]] = {}
        for change in changes:
            wanted.setdefault(change.attribute, []).append((VERBS[change.verb], list(change.values)))
        controls = [] if unless is None else [(ASSERTION, True, _is_not(*unless))]
        try:
            self._connection.modify(dn, wanted, [*controls, (PASSWORD_POLICY, False, None)])
            return self._answer()
        except Exception as error:
            self._translate(error)
        finally:
            self._forget()

    def search(
        self,
        base: str,
        search_filter: str,
        attributes: Sequence[str],
        *,
        depth: Depth = "subtree",
        size_limit: int = 0,
        page: tuple[int, bytes] | None = None,
        controls: Sequence[tuple[str, bytes]] = (),
    ) -> Found | None:
        """Entries under `base`; None when the base itself is not there. `page` is the size and the cookie of the page before (b"" to begin);
        `controls` are those that the server must understand, b"" for one without a value.

        No error quotes the filter, nor what a server says of it: people type passwords where their login belongs.
        """
        try:
            self._connection.search(
                base,
                search_filter,
                search_scope=ldap3.BASE if depth == "base" else ldap3.SUBTREE,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes),
                size_limit=size_limit,
                paged_size=page[0] if page else None,
                paged_cookie=page[1] if page and page[1] else None,
                controls=[(name, True, value or None) for name, value in controls],
            )
            result = self._connection.result
            code = int(result["result"])
            # References to other servers (searchResRef) are left alone.
            entries = tuple(_entry(item) for item in self._connection.response or () if item["type"] == "searchResEntry")
            control = (result.get("controls") or {}).get(PAGED_RESULTS)
            cookie = bytes(control["value"]["cookie"] or b"") if control else b""
        except Exception as error:
            self._translate(error)
        finally:
            self._forget()
        if code == NO_SUCH_OBJECT:
            return None
        self._refuse_trouble(code, "")
        if code not in {SUCCESS, SIZE_LIMIT_EXCEEDED}:
            raise SourceMisbehaved(f"{self.address}: a search under {base} was answered by the result code {code}")
        return Found(entries, code == SIZE_LIMIT_EXCEEDED, cookie)

    def ask(
        self,
        base: str,
        search_filter: str,
        attributes: Sequence[str],
        *,
        depth: Depth = "subtree",
        controls: Sequence[tuple[str, bytes]] = (),
    ) -> int:
        """Send a search, with controls that the server must understand, and wait for nothing: its number. connectors.ldap.line reads the rest."""
        try:
            request = search_operation(
                base,
                search_filter,
                ldap3.BASE if depth == "base" else ldap3.SUBTREE,
                ldap3.DEREF_NEVER,
                list(attributes),
                0,
                0,
                False,  # noqa: FBT003 - ldap3's signature: not the types alone
                False,  # noqa: FBT003 - nothing is escaped for us
                False,  # noqa: FBT003 - nor encoded
            )
            number: int = self._connection.strategy.send(
                "searchRequest", request, [(name, True, value or None) for name, value in controls]
            )
        except Exception as error:
            self._translate(error)
        finally:
            self._forget()
        return number

    def receive(self) -> bytes:
        """Bytes of whatever has come, without waiting: none while TLS has only had words of its own to say. Raises SourceUnreachable when the
        connection is closed."""
        sock = self._connection.socket
        try:
            sock.settimeout(0)
            data: bytes = sock.recv(RECEIVED_AT_ONCE)
            sock.settimeout(self._receive_seconds)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sock.settimeout(self._receive_seconds)
            return b""
        except Exception as error:
            self._translate(error)
        if not data:
            raise SourceUnreachable(f"{self.address}: the server closed the connection", trouble="closed")
        return data

    @property
    def has_more(self) -> bool:
        """Whether bytes came that no wait for the socket shows: TLS has deciphered them already."""
        pending = getattr(self._connection.socket, "pending", None)
        return bool(pending and pending())

    def fileno(self) -> int:
        """The socket, to be waited for."""
        found: int = self._connection.socket.fileno()
        return found

    def read_message(self, data: bytes) -> Message:
        """One whole message (RFC 4511 section 4.1.1). Raises SourceMisbehaved when it cannot be read."""
        try:
            message = decode_message_fast(data)
            said = self._connection.strategy.decode_response_fast(message)
            number, kind = int(message["messageID"]), said["type"]
            controls = {str(name): bytes(control["value"] or b"") for name, control in (said.get("controls") or {}).items()}
            if kind == "searchResEntry":
                return Message(number=number, kind="entry", entry=_entry(said), controls=controls)
            if kind == "intermediateResponse":
                name, value = str(said.get("responseName") or ""), bytes(said.get("responseValue") or b"")
                return Message(number=number, kind="note", name=name, value=value, controls=controls)
            if kind == "searchResRef":
                return Message(number=number, kind="other")
            return Message(number=number, kind="done", code=int(said["result"]), words=str(said["message"] or ""), controls=controls)
        except Exception as error:
            self._translate(error)

    def close(self) -> None:
        """Say goodbye and let go of the socket; a connection that is broken already is no news."""
        with suppress(ldap3_exceptions.LDAPExceptionError, OSError):
            self._connection.unbind()
        _let_go(self._connection)

    def drop(self) -> None:
        """Let go of the socket without a word: the server may not be listening."""
        _let_go(self._connection)

    def _forget(self) -> None:
        """Let go of the last question, answered or not, and of its answer: they hold what was typed."""
        connection = self._connection
        connection.request = connection.response = connection.result = None
        if connection.strategy._outstanding:
            connection.strategy._outstanding.clear()

    def _answer(self) -> Answer:
        result = self._connection.result
        controls = result.get("controls") or {}
        value = controls[PASSWORD_POLICY]["value"] if PASSWORD_POLICY in controls else None
        answer = Answer(int(result["result"]), str(result["message"] or ""), read_policy_answer(value))
        self._refuse_trouble(answer.code, answer.message)
        return answer

    def _refuse_trouble(self, code: int, message: str) -> None:
        if code in CANNOT_ANSWER:
            raise SourceUnreachable(f"{self.address} answered: {CANNOT_ANSWER[code]} {message}".rstrip(), trouble="unavailable")
        if code == CONFIDENTIALITY_REQUIRED:
            raise SourceUnreachable(f"{self.address} wants TLS before anything else {message}".rstrip(), trouble="tls_failed")

    def _translate(self, error: Exception) -> NoReturn:
        """Out of ldap3's exceptions into ours. Their texts name hosts and errors, never what was sent (tests hold this)."""
        if isinstance(error, SourceUnreachable | SourceMisbehaved):
            raise error
        trouble: Trouble
        if isinstance(error, TimeoutError | ldap3_exceptions.LDAPResponseTimeoutError):
            trouble = "timeout"
        elif isinstance(error, ldap3_exceptions.LDAPStartTLSError):
            trouble = "tls_failed"
        elif isinstance(error, ldap3_exceptions.LDAPSocketOpenError):
            trouble = "closed" if "not open" in str(error) else "refused"
        elif isinstance(error, ldap3_exceptions.LDAPCommunicationError | OSError) and "messageId" not in str(error):
            trouble = "closed"
        else:
            raise SourceMisbehaved(f"{self.address}: an answer that cannot be read ({type(error).__name__})") from error
        raise SourceUnreachable(f"{self.address}: {error}", trouble=trouble) from error


def resolve(address: ServerAddress) -> list[str]:
    """The IP addresses of a server, best first; raises SourceUnreachable when its name is unknown."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceUnreachable(f"{address}: the name cannot be resolved: {error}", trouble="refused") from error
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _let_go(connection: Any) -> None:
    """Close what is open: ldap3 forgets the socket of a connection that it did not finish opening."""
    left = connection.socket
    connection.strategy.close()
    if left is not None:
        left.close()


def _tls_trouble(address: ServerAddress, failure: Exception) -> SourceUnreachable:
    trouble: Trouble = "tls_failed"
    text = str(failure)
    if isinstance(failure, ssl.SSLCertVerificationError):
        text = failure.verify_message
        if failure.verify_code in {EXPIRED, NOT_YET_VALID}:
            trouble = "tls_expired"
        elif failure.verify_code in {WRONG_NAME, WRONG_ADDRESS}:
            trouble = "tls_name"
        else:
            trouble = "tls_untrusted"
    elif isinstance(failure, TimeoutError):
        trouble = "timeout"
    return SourceUnreachable(f"{address}: {text}", trouble=trouble)


def _is_not(attribute: str, value: str) -> bytes:
    """The filter (!(attribute=value)) as a control holds it, in BER (RFC 4511 section 4.5.1)."""
    said = b"".join(b"\x04" + bytes([len(part)]) + part for part in (attribute.encode(), value.encode()))
    equal = b"\xa3" + bytes([len(said)]) + said
    return b"\xa2" + bytes([len(equal)]) + equal


def quoted(password: str) -> bytes:
    """As unicodePwd is written ([MS-ADTS] 3.1.1.3.1.5)."""
    return f'"{password}"'.encode("utf-16-le")


def _entry(item: Mapping[str, Any]) -> Entry:
    return Entry(str(item["dn"]), {name.lower(): tuple(values or ()) for name, values in item["raw_attributes"].items()})


def _as_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""
