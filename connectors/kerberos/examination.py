"""`vestibule connector check` of the Windows session: keytabs, their keys, our service's name, and a ticket got and accepted where that is possible.

Yields plain words about what is wrong and what to do; changes nothing. Asks the realm's controllers when the settings name them, and nobody else.
"""

from collections.abc import Callable, Iterator
from typing import Any

import gssapi
from gssapi.raw.misc import GSSError

from connectors.base import CheckStep, ConnectorError, Ticket, TicketRefused
from connectors.kerberos.environment import Realm, add_realm
from connectors.kerberos.keytab import AES, Entry, KeytabUnreadable, read_keytab
from connectors.kerberos.settings import KerberosSettings

SPNEGO = "1.3.6.1.5.5.2"
OTHERS_MAY_READ = 0o004


def examine(settings: KerberosSettings, services: tuple[str, ...], *, accept: Callable[[bytes], Ticket]) -> Iterator[CheckStep]:
    """Every step. `services` are the principals that are accepted, whole."""
    yield CheckStep(title="services", outcome="ok", explanation=f"browsers must ask a ticket for {' or '.join(services)}")
    held: list[tuple[Entry, ...]] = []
    for keytab in settings.keytabs:
        try:
            entries = read_keytab(keytab)
        except KeytabUnreadable as error:
            yield CheckStep(
                title=f"keytab {keytab}", outcome="failed", explanation=f"{error}; it must be readable by the account we run as"
            )
            continue
        held.append(entries)
        yield from _examine_keys(str(keytab), entries, services)
        if keytab.stat().st_mode & OTHERS_MAY_READ:
            words = "everybody on this machine can read it, and could then pass for anybody here: chmod 640, owned by the account we run as"
            yield CheckStep(title=f"keytab {keytab}", outcome="warning", explanation=words)
    yield from _examine_order(held, services)
    yield from _try_ticket(settings, services, accept)


def _examine_keys(keytab: str, entries: tuple[Entry, ...], services: tuple[str, ...]) -> Iterator[CheckStep]:
    for service in services:
        own = [entry for entry in entries if entry.principal == service]
        title = f"keytab {keytab}: {service}"
        if not own:
            alike = [entry.principal for entry in entries if entry.principal.lower() == service.lower()]
            held = ", ".join(sorted({entry.principal for entry in entries})) or "nothing"
            words = "capitals count in a keytab" if alike else "export it again for this service name"
            yield CheckStep(title=title, outcome="failed", explanation=f"it holds no key of it, but {held}: {words}")
            continue
        listed = ", ".join(sorted({f"version {entry.version} {entry.kind_name}" for entry in own}))
        if not any(entry.kind in AES for entry in own):
            words = f"{listed}: only AES keys are accepted; set msDS-SupportedEncryptionTypes to 24 on its account, its password anew, export again"
            yield CheckStep(title=title, outcome="failed", explanation=words)
        elif any(entry.kind not in AES for entry in own):
            yield CheckStep(title=title, outcome="warning", explanation=f"{listed}: the keys that are not AES are not used; leave them out")
        else:
            yield CheckStep(title=title, outcome="ok", explanation=listed)


def _examine_order(held: list[tuple[Entry, ...]], services: tuple[str, ...]) -> Iterator[CheckStep]:
    for service in services:
        versions = [max((entry.version for entry in entries if entry.principal == service), default=0) for entries in held]
        if versions != sorted(versions, reverse=True):
            words = f"versions {', '.join(map(str, versions))}: list the newest first, so that today's tickets are read at once"
            yield CheckStep(title=f"order of the keytabs: {service}", outcome="warning", explanation=words)


def _try_ticket(settings: KerberosSettings, services: tuple[str, ...], accept: Callable[[bytes], Ticket]) -> Iterator[CheckStep]:
    title = "a ticket of our own"
    if not settings.controllers:
        words = "not tried: `controllers` names nobody to ask one of. Whether the keys and the clock are right shows at a computer of the domain"
        yield CheckStep(title=title, outcome="warning", explanation=words)
        return
    add_realm(Realm(settings.realm, settings.controllers))
    try:
        token = _own_token(settings, services[0])
    except GSSError as error:
        yield CheckStep(title=title, **_explain(message_of(error), settings))
        return
    try:
        ticket = accept(token)
    except TicketRefused as refused:
        # Ours is a service's ticket: that it was read and judged is all that there is to see.
        if refused.problem != "not_a_person":
            yield CheckStep(title=title, outcome="failed", explanation=f"it was got, and is not accepted: {refused.detail}")
            return
    except ConnectorError as error:
        yield CheckStep(title=title, outcome="failed", explanation=error.detail)
        return
    else:
        yield CheckStep(title=title, outcome="warning", explanation=f"it was taken for a person's: {ticket.principal}")
        return
    yield CheckStep(title=title, outcome="ok", explanation=f"got from {settings.controllers[0]} and accepted: keys and clock are right")


def _own_token(settings: KerberosSettings, service: str) -> bytes:
    """A token of our service to itself, by the keytab. Raises GSSError."""
    name = gssapi.Name(service, gssapi.NameType.kerberos_principal)
    store: dict[bytes | str, bytes | str] = {
        "client_keytab": f"FILE:{settings.keytabs[0]}",
        "ccache": f"MEMORY:{service},{','.join(settings.controllers)}",
    }
    credentials = gssapi.Credentials(name=name, usage="initiate", store=store)
    mechanism = gssapi.OID.from_int_seq(SPNEGO)
    return gssapi.SecurityContext(name=name, mech=mechanism, usage="initiate", creds=credentials).step() or b""


def _explain(said: str, settings: KerberosSettings) -> dict[str, Any]:
    """What a controller said, and what to do."""
    low = said.lower()
    if "skew" in low:
        return {"outcome": "failed", "explanation": f"this machine's clock is more than five minutes off the domain's: {said}"}
    if "cannot contact" in low or "cannot find kdc" in low or "cannot resolve" in low:
        return {"outcome": "failed", "explanation": f"nobody answers at {', '.join(settings.controllers)} (port 88): {said}"}
    if "not found in kerberos database" in low:
        words = "the domain knows our service by name only and gives it no ticket, which is usual where keys came from samba-tool"
        return {"outcome": "warning", "explanation": f"not tried: {words}. Or the name is wrong: {said}"}
    if "preauthentication failed" in low or "integrity check failed" in low or "password incorrect" in low:
        return {
            "outcome": "failed",
            "explanation": f"the key in {settings.keytabs[0]} is not the account's any more: export it again ({said})",
        }
    return {"outcome": "failed", "explanation": said}


def message_of(error: Exception) -> str:
    """What the library says, without its numbers."""
    said = str(error)
    return said.rpartition("): ")[2] or said
