"""What `vestibule connector check` tries of an Active Directory domain beside what every directory is asked (connectors.ldap.examination).

Speaks to an operator, in plain words; changes nothing.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec

from connectors.active_directory.bind import IN_WORDS, sub_code
from connectors.active_directory.newest import NewestPassword
from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.active_directory.state import COMPUTED, CONTROL, DOMAIN_POLICY, read_policy
from connectors.base import CheckStep, SourceMisbehaved
from connectors.ldap.examination import Product
from connectors.ldap.filters import escape
from connectors.ldap.wire import Entry, Wire

DOMAIN, LOCKOUT, FORMER = "Domain", "Lockout", "Former passwords"


def product_of(settings: ActiveDirectorySettings, newest: NewestPassword | None) -> Product:
    """Active Directory's own words and steps."""
    return Product(
        size_limit="a domain controller gives 1,000 entries a page (MaxPageSize): write page_size: 1000 or less",
        lasting_id="everybody who may log on can read it in a new domain, so somebody has taken that away",
        groups="check `groups.base`, and that those groups are security groups",
        steps=lambda wire, seen: _steps(wire, seen, settings, newest),
        in_words=in_words,
    )


def in_words(detail: str) -> str:
    """What a controller's sub-code says, to be added to a refusal; empty when there is none."""
    return IN_WORDS.get(sub_code(detail) or "", "")


def _steps(wire: Wire, seen: list[Entry], settings: ActiveDirectorySettings, newest: NewestPassword | None) -> Iterator[CheckStep]:
    yield _domain(wire, settings)
    yield _state(seen)
    yield from _lockout(wire, settings)
    yield from _former(wire, settings, newest)


def _domain(wire: Wire, settings: ActiveDirectorySettings) -> CheckStep:
    root = wire.search("", "(objectClass=*)", ("defaultNamingContext", "configurationNamingContext"), depth="base")
    own = root.entries[0].text("defaultNamingContext") if root and root.entries else None
    if own is None or own.casefold() != settings.domain_dn.casefold():
        say = f"the controller is of {own or 'no domain that it names'}, not of {settings.domain_dn}: check `domain` and `servers`."
        return CheckStep(title=DOMAIN, outcome="failed", explanation=say)
    configuration = root.entries[0].text("configurationNamingContext") if root else None
    wanted = f"(&(objectClass=crossRef)(nCName={escape(own)}))"
    found = wire.search(f"CN=Partitions,{configuration}", wanted, ("nETBIOSName",)) if configuration else None
    short = found.entries[0].text("nETBIOSName") if found and found.entries else None
    if short is None:
        say = f"{settings.domain}; its short name cannot be read: see that {settings.netbios_name} is right."
        return CheckStep(title=DOMAIN, outcome="warning", explanation=say)
    if short.casefold() != settings.netbios_name.casefold():
        say = f"the domain's short name is {short}, not {settings.netbios_name}: write netbios_name: {short}."
        return CheckStep(title=DOMAIN, outcome="failed", explanation=say)
    return CheckStep(title=DOMAIN, outcome="ok", explanation=f"{settings.domain}, {short}")


def _state(seen: list[Entry]) -> CheckStep:
    title = "State of accounts"
    for name in (CONTROL, COMPUTED, "pwdLastSet"):
        without = [entry.dn for entry in seen if entry.text(name) is None]
        if without:
            say = (
                f"{name} cannot be read on {len(without)} of {len(seen)} people, for instance {without[0]}: let the service account read account "
                "restrictions (docs/connect-active-directory.md); nobody whose state is not known is let in."
            )
            return CheckStep(title=title, outcome="failed", explanation=say)
    return CheckStep(title=title, outcome="ok", explanation="who is disabled, expired, locked or must change the password can be read")


def _lockout(wire: Wire, settings: ActiveDirectorySettings) -> Iterator[CheckStep]:
    found = wire.search(settings.domain_dn, "(objectClass=*)", DOMAIN_POLICY.all, depth="base")
    policy = read_policy(found.entries[0], DOMAIN_POLICY) if found and found.entries else None
    if policy is None or policy.threshold is None:
        say = f"lockoutThreshold of {settings.domain_dn} cannot be read: lockout.directory_threshold is assumed. Let the service account read it."
        yield CheckStep(title=LOCKOUT, outcome="warning", explanation=say)
    elif policy.threshold == 0:
        yield CheckStep(title=LOCKOUT, outcome="ok", explanation="the domain never locks (lockoutThreshold is 0)")
    else:
        minutes = f", forgotten after {int(policy.window.total_seconds() // 60)} minutes" if policy.window else ""
        yield CheckStep(title=LOCKOUT, outcome="ok", explanation=f"the domain locks after {policy.threshold} wrong passwords{minutes}")
    container = f"CN=Password Settings Container,CN=System,{settings.domain_dn}"
    try:
        shown = wire.search(container, "(objectClass=*)", ("1.1",), depth="base")
    except SourceMisbehaved:
        shown = None
    if not shown or not shown.entries:
        say = (
            f"{container} is hidden from the service account: if there are fine-grained password policies, let it read them, "
            "or people of a stricter one are locked sooner than we think."
        )
        yield CheckStep(title=LOCKOUT, outcome="warning", explanation=say)


def _former(wire: Wire, settings: ActiveDirectorySettings, newest: NewestPassword | None) -> Iterator[CheckStep]:
    if newest is None:
        say = "old_password_window is 0: right only where OldPasswordAllowedPeriod is 0 on every controller; else former passwords open for an hour."
        yield CheckStep(title=FORMER, outcome="warning", explanation=say)
        return
    if find_spec("gssapi") is None:
        say = (
            "gssapi is not installed, so nobody can sign in for an hour after their password was changed: "
            "pip install 'vestibule[windows]' (needs libkrb5), or old_password_window: 0m."
        )
        yield CheckStep(title=FORMER, outcome="failed", explanation=say)
        return
    reached = newest.reachable()
    if not reached:
        say = (
            "no controller takes Kerberos connections: open TCP port 88 from this machine to the controllers, or name others in `kerberos_servers`. "
            "Until then nobody can sign in for an hour after their password was changed."
        )
        yield CheckStep(title=FORMER, outcome="failed", explanation=say)
        return
    login = _own_login(wire, settings)
    if login is None:
        say = f"{', '.join(reached)} take connections; the service account's own login cannot be read, so nothing more was tried."
        yield CheckStep(title=FORMER, outcome="warning", explanation=say)
        return
    try:
        if newest.is_newest(login, settings.bind_password.encode()):
            say = f"Kerberos of {settings.realm} tells the newest password from the one before ({', '.join(reached)})"
            yield CheckStep(title=FORMER, outcome="ok", explanation=say)
        else:
            say = (
                f"Kerberos of {settings.realm} refuses the service account's password, which LDAP takes: it may have been changed a moment ago "
                "(write the new one), or the controllers in `kerberos_servers` are another domain's."
            )
            yield CheckStep(title=FORMER, outcome="failed", explanation=say)
    except SourceMisbehaved as error:
        say = f"{error.detail}. Check `domain`, `kerberos_servers` and that this machine's clock is within 5 minutes of the controllers'."
        yield CheckStep(title=FORMER, outcome="failed", explanation=say)


def _own_login(wire: Wire, settings: ActiveDirectorySettings) -> str | None:
    """The service account's sAMAccountName, however `bind_dn` is written."""
    name = settings.bind_dn
    if re.match(r"[A-Za-z]+\s*=", name):
        found = wire.search(name, "(objectClass=*)", ("sAMAccountName",), depth="base")
    elif "\\" in name:
        return name.partition("\\")[2]
    else:
        login = escape(name.partition("@")[0])
        wanted = f"(|(userPrincipalName={escape(name)})(sAMAccountName={login}))"
        found = wire.search(settings.domain_dn, wanted, ("sAMAccountName",), size_limit=2)
    return found.entries[0].text("sAMAccountName") if found and len(found.entries) == 1 else None
