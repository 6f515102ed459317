"""`vestibule connector check` for LDAP: each setting tried in the order in which a sign-in needs it, and what to do when it fails.

Speaks to an operator, in plain words; changes nothing. The person's own bind cannot be tried: it needs a person's password.
"""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from connectors.base import CheckStep, Clock, ConnectorError, SourceMisbehaved, SourceUnreachable, Trouble
from connectors.ldap.address import ServerAddress
from connectors.ldap.parts import GroupReader
from connectors.ldap.people import People, as_compared
from connectors.ldap.pool import ServerPool
from connectors.ldap.settings import EntrySettings, LdapSettings
from connectors.ldap.state import created_at
from connectors.ldap.wire import Entry, Wire, resolve

CERTIFICATE_WARNING_DAYS = 30
SHOWN = 5
MANY = 500  # the size limit that slapd has when nobody set one
WHAT_TO_DO: dict[Trouble, str] = {
    "refused": "Nobody listens there: check the address and the port in `servers`, that the server runs, and the firewall between.",
    "timeout": "It did not answer in time: check the firewall between (it may drop packets) and that the server is not overloaded.",
    "closed": "It closed the connection: look in its log; a limit of connections or a TLS setting may be the reason.",
    "tls_untrusted": "The certificate is not signed by an authority that we know: put that authority's PEM file in `ca_file`.",
    "tls_name": "The certificate is for another name: write in `servers` the name that is in the certificate, or renew it with this name.",
    "tls_expired": "The certificate is outside its dates: renew it on the directory server (and check the clocks).",
    "tls_failed": "TLS cannot be agreed: the server may not offer StartTLS or TLS 1.2, or ldaps:// and ldap:// are mixed up with the port.",
    "service_account": "The directory refuses the service account: check `bind_dn` and `bind_password`, and that it is neither locked nor expired.",
    "unavailable": "It answered that it cannot answer now: look in the directory's log.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What an operator does in one maker's directory: to lift a size limit, to show the lasting id, to show groups; and the steps that only it has,
    from a connection bound as the service account and the people it sees. `in_words` says what a refusal's codes mean."""

    size_limit: str
    lasting_id: str
    groups: str
    steps: Callable[[Wire, list[Entry]], Iterator[CheckStep]]
    in_words: Callable[[str], str] = lambda _: ""


def product_of(settings: LdapSettings) -> Product:
    """OpenLDAP's or 389 Directory Server's."""
    other, name = ("nsUniqueId", "a 389 Directory Server") if settings.lasting_id == "entryUUID" else ("entryUUID", "an OpenLDAP")
    return Product(
        size_limit=(
            f'OpenLDAP: limits dn.exact="{settings.bind_dn}" size=unlimited; 389: nsSizeLimit and nsPagedSizeLimit -1 on its entry'
        ),
        lasting_id=f"if this is {name}, write lasting_id: {other}",
        groups=(
            "check `groups.filter`, and that the service account may read the members (member, uniqueMember or memberUid) "
            f"and {settings.groups.name} of groups"
        ),
        steps=lambda wire, seen: iter((_policy(wire, settings, seen), *_principals(settings, seen))),
    )


def examine(
    settings: EntrySettings, pool: ServerPool, people: People, groups: GroupReader, *, clock: Clock, product: Product
) -> Iterator[CheckStep]:
    """Step by step: each server, then what is read through the first that lets the service account in. Raises nothing of the family."""
    reached: list[Wire] = []
    try:
        for address in pool.servers:
            yield from _server(address, pool, reached, clock=clock, in_words=product.in_words)
        if not reached:
            yield CheckStep(title="Directory", outcome="failed", explanation="No server lets us in: the rest cannot be tried.")
            return
        try:
            yield from _content(reached[0], settings, people, groups, product=product)
        except SourceUnreachable as error:
            yield _failed("Directory", error)
        except ConnectorError as error:
            yield CheckStep(title="Directory", outcome="failed", explanation=error.detail)
    finally:
        for wire in reached:
            wire.close()


def _server(
    address: ServerAddress, pool: ServerPool, reached: list[Wire], *, clock: Clock, in_words: Callable[[str], str]
) -> Iterator[CheckStep]:
    try:
        addresses = resolve(address)
        yield CheckStep(title=f"{address}: name", outcome="ok", explanation=f"is {', '.join(addresses)}")
    except SourceUnreachable as error:
        say = f"{error.detail}. Check the spelling in `servers` and this machine's DNS."
        yield CheckStep(title=f"{address}: name", outcome="failed", explanation=say)
        return
    try:
        wire = pool.open_at(address)
    except SourceUnreachable as error:
        step = "TLS" if error.trouble.startswith("tls") else "connection"
        yield _failed(f"{address}: {step}", error)
        return
    how = {"ldaps": "TLS from the first byte", "start_tls": "StartTLS", "clear": "in clear, on this very machine"}[address.protection]
    yield CheckStep(title=f"{address}: connection", outcome="ok", explanation=how)
    yield from _certificate(wire, clock)
    try:
        pool.bind_service(wire)
    except SourceUnreachable as error:
        wire.close()
        yield _failed(f"{address}: service account", error, said=in_words(error.detail))
        return
    reached.append(wire)
    yield CheckStep(title=f"{address}: service account", outcome="ok", explanation="accepted")


def _certificate(wire: Wire, clock: Clock) -> Iterator[CheckStep]:
    certificate = wire.certificate()
    if certificate is None:
        return
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends - clock.now()).days
    names = ", ".join(value for _, value in certificate.get("subjectAltName", ())) or "no name"
    authority = next(
        (value for part in certificate.get("issuer", ()) for kind, value in part if kind == "commonName"), "an unnamed authority"
    )
    said = f"for {names}; signed by {authority}; {days} days left"
    if days < CERTIFICATE_WARNING_DAYS:
        yield CheckStep(title=f"{wire.address}: certificate", outcome="warning", explanation=f"{said}: renew it")
    else:
        yield CheckStep(title=f"{wire.address}: certificate", outcome="ok", explanation=said)


def _content(wire: Wire, settings: EntrySettings, people: People, groups: GroupReader, *, product: Product) -> Iterator[CheckStep]:
    """What a sign-in reads, as the service account sees it."""
    if wire.search(settings.base, "(objectClass=*)", ("1.1",), depth="base") is None:
        say = f"{settings.base} is not there, or the service account may not see it: check `base`, and its access to the entry itself."
        yield CheckStep(title="Base", outcome="failed", explanation=say)
        return
    yield CheckStep(title="Base", outcome="ok", explanation=settings.base)
    seen = list(islice(_all(wire, settings, people), 100_000))
    if not seen:
        say = f"{people.scope} matches nobody under {settings.base} that the service account can see: check `scope` and its access."
        yield CheckStep(title="People", outcome="failed", explanation=say)
        return
    yield CheckStep(title="People", outcome="ok", explanation=f"{people.scope} matches {len(seen)} people")
    yield _size_limit(wire, settings, people, len(seen), product=product)
    yield _lasting_id(seen, people, product)
    yield from _identifiers(seen, settings)
    yield from _groups(wire, settings, people, groups, seen, product=product)
    yield from product.steps(wire, seen)


def _all(wire: Wire, settings: EntrySettings, people: People) -> Iterator[Entry]:
    cookie = b""
    attributes = tuple(dict.fromkeys((*settings.identifiers, *people.attributes)))
    while True:
        found = wire.search(settings.base, people.scope, attributes, page=(settings.page_size, cookie))
        if found is None:
            return
        yield from found.entries
        if found.is_cut or not (cookie := found.cookie):
            return


def _size_limit(wire: Wire, settings: EntrySettings, people: People, seen: int, *, product: Product) -> CheckStep:
    found = wire.search(settings.base, people.scope, ("1.1",), page=(settings.page_size, b""))
    everybody = wire.search(settings.base, people.scope, ("1.1",)) if seen <= MANY else None
    is_cut = (found is not None and found.is_cut) or (everybody is not None and everybody.is_cut) or seen == MANY
    if is_cut:
        say = (
            f"The directory holds back what comes after {seen} entries: `vestibule sync` would not see everybody. Raise the limit for the service "
            f"account ({product.size_limit})."
        )
        return CheckStep(title="Size limit", outcome="failed", explanation=say)
    return CheckStep(title="Size limit", outcome="ok", explanation="everybody can be read")


def _lasting_id(seen: list[Entry], people: People, product: Product) -> CheckStep:
    without = [entry.dn for entry in seen if people.subject(entry) is None]
    if without:
        say = (
            f"{people.lasting_id} cannot be read on {len(without)} of {len(seen)} entries, for instance {without[0]}. "
            f"Let the service account read it; {product.lasting_id}."
        )
        return CheckStep(title="Lasting id", outcome="failed", explanation=say)
    return CheckStep(title="Lasting id", outcome="ok", explanation=f"{people.lasting_id} is on every entry")


def _identifiers(seen: list[Entry], settings: EntrySettings) -> Iterator[CheckStep]:
    holders: dict[str, dict[int, set[str]]] = {}
    missing = set(settings.identifiers)
    for entry in seen:
        missing -= {name for name in missing if entry.texts(name)}
        for place, name in enumerate(settings.identifiers):
            for value in entry.texts(name):
                holders.setdefault(as_compared(value), {}).setdefault(place, set()).add(entry.dn)
    shared = {value: places for value, places in holders.items() if len(set[str]().union(*places.values())) > 1}
    equals = sorted(value for value, places in shared.items() if len(places[min(places)]) > 1)
    if equals:
        say = (
            f"{len(equals)} identifiers name several people ({_some(equals)}): "
            "whoever types one of them is refused. Make them unique, or take the attribute out of `identifiers`."
        )
        yield CheckStep(title="Identifiers", outcome="warning", explanation=say)
    if later := sorted(set(shared) - set(equals)):
        say = (
            f"{len(later)} identifiers are one person's {settings.identifiers[0]} (or another early attribute) and somebody else's later one "
            f"({_some(later)}): the earlier attribute in `identifiers` wins. Can people write these attributes of their own entry?"
        )
        yield CheckStep(title="Identifiers", outcome="warning", explanation=say)
    for name in sorted(missing):
        say = f"nobody has {name}, or the service account may not read it: check the spelling in `identifiers` and its access."
        yield CheckStep(title="Identifiers", outcome="warning", explanation=say)
    if not shared and not missing:
        yield CheckStep(title="Identifiers", outcome="ok", explanation=f"{', '.join(settings.identifiers)}: each names one person")


def _some(values: list[str]) -> str:
    return f"{', '.join(values[:SHOWN])}{'...' if len(values) > SHOWN else ''}"


def _groups(
    wire: Wire, settings: EntrySettings, people: People, groups: GroupReader, seen: list[Entry], *, product: Product
) -> Iterator[CheckStep]:
    if settings.groups.base is None:
        say = "groups.base is null: mapping rules can only look at attributes."
        yield CheckStep(title="Groups", outcome="warning", explanation=say)
        return
    if wire.search(settings.groups.base, "(objectClass=*)", ("1.1",), depth="base") is None:
        say = f"{settings.groups.base} is not there, or the service account may not see it: check `groups.base` and its access."
        yield CheckStep(title="Groups", outcome="failed", explanation=say)
        return
    sample = seen[:50]
    grouped = sum(1 for entry in sample if groups.of(wire, entry, people.username(entry)))
    if not grouped:
        say = (
            f"none of {len(sample)} people is in a group: {product.groups}. "
            "Whoever is in no group is refused when no group with members is visible at all."
        )
        yield CheckStep(title="Groups", outcome="warning", explanation=say)
        return
    yield CheckStep(title="Groups", outcome="ok", explanation=f"{grouped} of the first {len(sample)} people are in a group")


def _policy(wire: Wire, settings: LdapSettings, seen: list[Entry]) -> CheckStep:
    title = "Password policy"
    if settings.lasting_id == "nsUniqueId":
        say = "389 Directory Server says by itself who is locked or expired"
        return CheckStep(title=title, outcome="ok", explanation=say)
    if settings.password_policy is None:
        say = (
            "password_policy is null: a lock is believed until its attribute is gone, and an expired password is seen at sign-in only. "
            "With the ppolicy overlay, write here the DN of ppolicy_default."
        )
        return CheckStep(title=title, outcome="warning", explanation=say)
    try:
        found = wire.search(settings.password_policy, "(objectClass=*)", ("pwdAttribute",), depth="base")
    except SourceMisbehaved:
        found = None
    if not found or not found.entries or not found.entries[0].texts("pwdAttribute"):
        say = f"{settings.password_policy} is not there, or the service account may not read it: check `password_policy` and its access."
        return CheckStep(title=title, outcome="failed", explanation=say)
    if not any(entry.texts("pwdChangedTime") for entry in seen):
        say = (
            "pwdChangedTime is seen on nobody: the service account must be let read pwdChangedTime, pwdAccountLockedTime, pwdReset, pwdStartTime and "
            "pwdEndTime, or disabled people are noticed at sign-in only."
        )
        return CheckStep(title=title, outcome="warning", explanation=say)
    return CheckStep(title=title, outcome="ok", explanation="readable, and so is the state of accounts")


def _principals(settings: LdapSettings, seen: list[Entry]) -> Iterator[CheckStep]:
    """Whether people can be known by their Kerberos tickets, where the settings say so."""
    kerberos = settings.kerberos
    if kerberos is None:
        return
    title = f"Kerberos principals in {kerberos.attribute}"
    named = sum(entry.text(kerberos.attribute) is not None for entry in seen)
    if not named:
        words = (
            "nobody has one: nobody can sign in with a Windows session. Check kerberos.attribute, and that the service account may read it"
        )
        yield CheckStep(title=title, outcome="failed", explanation=words)
    elif created_at(seen[0]) is None:
        words = (
            "createTimestamp cannot be read: without it a newcomer could use the ticket of who had the name before, so no ticket is taken"
        )
        yield CheckStep(title=title, outcome="failed", explanation=words)
    else:
        yield CheckStep(title=title, outcome="ok", explanation=f"{named} of the first {len(seen)} people have one")


def _failed(title: str, error: SourceUnreachable, *, said: str = "") -> CheckStep:
    advice = WHAT_TO_DO.get(error.trouble, "Try again in a moment.")
    return CheckStep(title=title, outcome="failed", explanation=f"{error.detail}{f': {said}' if said else ''}. {advice}")
