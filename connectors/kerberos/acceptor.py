"""KerberosAcceptor: a workstation's Kerberos ticket as a connectors.base.NegotiateConnector: whose it is, once libkrb5 has verified it.

Owns which keys are tried and which tickets are not good enough: NTLM, another realm or service, a replay, one that a service got in somebody's name.
Keys are named for each try and never for the process. Nothing is asked of the network, but the library may still hang (its replay cache is a
locked file): it works in threads of its own, as many as `concurrency`, and nobody waits longer than `timeout`. Knows no directory: who holds the
ticket and whether they may come in is idp/signin/windows.py's. Sources: RFC 4559, RFC 4178, RFC 4120, [MS-PAC].
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import gssapi
from gssapi import raw
from gssapi.raw.misc import GSSError

from connectors.base import CheckStep, Clock, SourceMisbehaved, SourceUnreachable, Ticket, TicketProblem, TicketRefused
from connectors.breaker import Guard
from connectors.kerberos.environment import Realm, add_realm
from connectors.kerberos.examination import examine, message_of
from connectors.kerberos.offer import Malformed, error_of, read_offer
from connectors.kerberos.pac import PacMalformed, sid_of
from connectors.kerberos.settings import LARGEST_TOKEN_BYTES, KerberosSettings

PAC = "urn:mspac:"
UPN, LOGON, DELEGATION = f"{PAC}upn-dns-info".encode(), f"{PAC}logon-info".encode(), f"{PAC}delegation-info".encode()
NO_KEY = frozenset({35, 44, 45})  # not for us, no key of this version, no key: another keytab may have it
# RFC 4120 section 7.5.9, what an acceptor answers.
PROBLEMS: dict[int, TicketProblem] = {
    32: "expired",
    33: "clock",
    34: "replayed",
    35: "other_service",
    37: "clock",
    44: "other_service",
    45: "other_service",
}


class KerberosAcceptor:
    """Accepts the tickets of one realm. Safe to share between threads; reads the keytabs anew for each ticket, so that they may be replaced."""

    def __init__(self, name: str, settings: KerberosSettings, clock: Clock, *, host: str) -> None:
        """`host` is the issuer's: the service that browsers ask a ticket for. Raises ValueError for a realm that is none."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._services = tuple(service if "@" in service else f"{service}@{settings.realm}" for service in settings.services) or (
            f"HTTP/{host}@{settings.realm}",
        )
        self._guard = Guard(
            name,
            clock,
            concurrency=settings.concurrency + 1,  # one of a Guard's places is for look-ups, of which there are none here
            failures=settings.breaker_failures,
            pause=settings.breaker_pause,
        )
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix=f"kerberos-{name}")
        add_realm(Realm(settings.realm))

    def accept(self, token: bytes) -> Ticket:
        """Whose ticket this is (NegotiateConnector.accept). What is no ticket of Kerberos is refused before the library is asked."""
        if len(token) > LARGEST_TOKEN_BYTES:
            raise TicketRefused(f"{self.name}: a token of {len(token)} bytes", problem="too_large")
        try:
            offer = read_offer(token)
        except Malformed as error:
            raise TicketRefused(f"{self.name}: {error}", problem="malformed") from error
        if offer.kind == "ntlm":
            raise TicketRefused(f"{self.name}: NTLM, which proves no more than that somebody knows a password's hash", problem="ntlm")
        with self._guard.passage():
            working = self._threads.submit(self._accept, token, sha256(offer.authenticator).hexdigest())
            try:
                return working.result(self._settings.timeout.total_seconds())
            except NotInTime as error:
                working.cancel()
                raise SourceUnreachable(f"{self.name}: the Kerberos library did not answer in time", trouble="timeout") from error

    def check(self) -> Iterator[CheckStep]:
        """Try the settings step by step (NegotiateConnector.check)."""
        return examine(self._settings, self._services, accept=self.accept)

    def close(self) -> None:
        """Let go of threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _accept(self, token: bytes, handle: str) -> Ticket:
        unreadable, refused = [], None
        for keytab in self._settings.keytabs:
            for service in self._services:
                try:
                    credentials = _credentials(keytab, service)
                except GSSError as error:
                    unreadable.append(f"{keytab}: {message_of(error)}")
                    continue
                try:
                    return self._take(token, credentials, handle)
                except _Refused as error:
                    refused = error
                    if error.number not in NO_KEY:
                        break
        if refused is None:
            raise SourceMisbehaved(f"{self.name}: no key of {', '.join(self._services)} can be read ({'; '.join(unreadable)})")
        raise TicketRefused(f"{self.name}: {refused}", problem=PROBLEMS.get(refused.number or 0, "refused")) from refused

    def _take(self, token: bytes, credentials: Any, handle: str) -> Ticket:
        """The ticket, by one key. Raises _Refused when the library does not take it, TicketRefused when we do not."""
        answer = b""
        try:
            context = gssapi.SecurityContext(creds=credentials, usage="accept")
            # A refusal that the library has an answer to is raised by whatever is asked next.
            answer = context.step(token) or b""
            if not context.complete:
                raise _Refused(None, "the library wants another exchange")
            return self._judge(context, handle, answer)
        except (GSSError, UnicodeDecodeError) as error:
            raise _Refused(error_of(answer), message_of(error)) from error

    def _judge(self, context: Any, handle: str, answer: bytes) -> Ticket:
        name = context.initiator_name
        principal = str(name)
        problem: TicketProblem | None = None
        user, _, realm = principal.rpartition("@")
        authenticated_at = datetime.fromtimestamp(raw.krb5_extract_authtime_from_sec_context(context), UTC)
        said = {key: name.attributes[key] for key in name.attributes}
        if realm != self._settings.realm:
            problem = "other_realm"
        elif not user or "/" in user or "\\" in user or "@" in user:
            problem = "not_a_person"
        elif DELEGATION in said:
            problem = "delegated"
        if problem is not None:
            raise TicketRefused(f"{self.name}: a ticket of somebody of {realm}", problem=problem)
        try:
            sid = sid_of(_verified(said.get(UPN)), _verified(said.get(LOGON)))
        except PacMalformed as error:
            raise TicketRefused(f"{self.name}: {error}", problem="refused") from error
        ends_at = _ends_at(context)  # this was the context's last use
        # The library still takes it for some minutes, for the sake of clocks that differ: a browser gets another well before its end.
        if ends_at <= self._clock.now().timestamp():
            raise TicketRefused(f"{self.name}: a ticket that is over", problem="expired")
        return Ticket(principal=principal, sid=sid, authenticated_at=authenticated_at, handle=handle, answer=answer)


class _Refused(Exception):
    """The library does not take a token; `number` is RFC 4120's, None when it says none."""

    def __init__(self, number: int | None, detail: str) -> None:
        super().__init__(f"{detail} (KRB-ERROR {number})" if number is not None else detail)
        self.number = number


def _credentials(keytab: Path, service: str) -> Any:
    """The keys of a service. By its whole name, so that no DNS is asked and no other service's key in the file counts. Raises GSSError."""
    name = gssapi.Name(service, gssapi.NameType.kerberos_principal)
    return gssapi.Credentials(name=name, usage="accept", store={"keytab": f"FILE:{keytab}"})


def _ends_at(context: Any) -> int:
    """When the ticket ends, in seconds since 1970; the context is used up."""
    lucid: Any = raw.krb5_export_lucid_sec_context(context, 1)
    return int(lucid.endtime)


def _verified(attribute: Any) -> bytes | None:
    """A part of the PAC, when libkrb5 found that the realm had signed it for us."""
    return bytes(attribute.values[0]) if attribute is not None and attribute.authenticated and attribute.values else None
