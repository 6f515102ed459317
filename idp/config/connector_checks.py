"""What no single field of a directory, an upstream provider or the Windows session can tell: names, servers, filters, rules that lead nowhere.

Pure functions on the models, called by checks.py; nothing is asked of a connector (`vestibule connector check` does that).
"""

import re
from collections.abc import Collection, Iterable
from importlib.util import find_spec

from connectors.active_directory.newest import read_controller
from connectors.entra.settings import GUID
from connectors.ldap.address import parse_server
from connectors.ldap.filters import PLACEHOLDERS, parse_filter
from connectors.ldap.names import normal_name
from connectors.oidc.presets import PRO_SANTE_CONNECT, is_pro_sante_connect
from idp.config.directories import ActiveDirectoryDirectorySettings, EntraProviderSettings, LdapDirectorySettings, OidcProviderSettings
from idp.config.findings import Finding
from idp.config.mapping_checks import check_reading, check_rule, check_word
from idp.config.models import Config, EstablishmentSettings
from idp.config.windows_checks import check_windows

LOCAL = "local"  # the name of our own accounts


def check_connectors(config: Config, establishments: Collection[EstablishmentSettings]) -> Iterable[Finding]:
    """Every rule about them; `establishments` are those of the file that could be read."""
    yield from _check_names(config)
    yield from _check_directories(config, establishments)
    yield from _check_providers(config, establishments)
    yield from check_windows(config, establishments)


def _check_names(config: Config) -> Iterable[Finding]:
    seen = {LOCAL}
    for key, named in (("directories", config.directories), ("providers", config.providers), ("scim", config.scim)):
        for index, one in enumerate(named):
            if one.name in seen:
                yield Finding("error", f"{key}[{index}].name", f"{one.name} is already used")
            seen.add(one.name)


def _check_directories(config: Config, establishments: Collection[EstablishmentSettings]) -> Iterable[Finding]:
    held = sum(directory.concurrency for directory in config.directories)
    if held >= config.server.threads:
        yield Finding(
            "warning",
            "directories",
            f"together they may hold {held} of the {config.server.threads} threads of a server process: when they hang, applications wait too;"
            " lower their concurrency or raise server.threads",
        )
    for index, directory in enumerate(config.directories):
        at = f"directories[{index}]"
        for number, url in enumerate(directory.servers):
            try:
                parse_server(url, start_tls=directory.start_tls)
            except ValueError as error:
                yield Finding("error", f"{at}.servers[{number}]", str(error))
        yield from _check_filter(f"{at}.scope", directory.scope)
        if directory.type == "ldap":
            yield from _check_group_filter(f"{at}.groups.filter", directory.groups.filter)
        else:
            yield from _check_active_directory(at, directory)
        yield from _check_desk(at, directory)
        if not directory.identifiers:
            yield Finding("error", f"{at}.identifiers", "at least one is needed")
        if directory.ca_file is not None and not directory.ca_file.is_file():
            yield Finding("error", f"{at}.ca_file", f"cannot read {directory.ca_file}")
        if not directory.mapping:
            yield Finding("warning", f"{at}.mapping", "there is no rule: nobody of this directory can sign in anywhere")
        for number, rule in enumerate(directory.mapping):
            rule_at = f"{at}.mapping[{number}]"
            yield from check_rule(rule, config.profiles, establishments, at=rule_at)
            yield from check_reading(rule, directory, rule_at)


def _check_desk(at: str, directory: LdapDirectorySettings | ActiveDirectoryDirectorySettings) -> Iterable[Finding]:
    desk = directory.desk
    if desk is None:
        return
    if desk.protected is not None:
        yield from _check_filter(f"{at}.desk.protected", desk.protected)
    if desk.protected_groups and directory.type == "ldap" and directory.groups.base is None:
        yield Finding("error", f"{at}.desk.protected_groups", "who is in a group is not known: write groups.base")
    base = normal_name(directory.base)
    for number, one in enumerate(desk.bases):
        if normal_name(one) != base and not normal_name(one).endswith(f",{base}"):
            yield Finding("error", f"{at}.desk.bases[{number}]", f"{one} is not under {directory.base}: nobody there is known here")
    if desk.bind_dn is None:
        words = "the account that looks people up may then change them too: give the desk one of its own"
        yield Finding("warning", f"{at}.desk.bind_dn", words)


def _check_filter(at: str, written: str) -> Iterable[Finding]:
    try:
        parse_filter(written)
    except ValueError as error:
        yield Finding("error", at, f"is not an LDAP filter (RFC 4515): {error}")


def _check_group_filter(at: str, written: str) -> Iterable[Finding]:
    yield from _check_filter(at, written)
    if not any(placeholder in written for placeholder in PLACEHOLDERS):
        yield Finding("error", at, "must name the person, by {dn} or {username}: otherwise everybody is in every group")


def _check_active_directory(at: str, directory: ActiveDirectoryDirectorySettings) -> Iterable[Finding]:
    for number, written in enumerate(directory.kerberos_servers):
        try:
            read_controller(written)
        except ValueError as error:
            yield Finding("error", f"{at}.kerberos_servers[{number}]", str(error))
    if not directory.old_password_window:
        yield Finding(
            "warning",
            f"{at}.old_password_window",
            "is 0: right only where OldPasswordAllowedPeriod is 0 on every controller; else a former password goes on opening for an hour",
        )
    elif find_spec("gssapi") is None:
        yield Finding(
            "error",
            f"{at}.old_password_window",
            "a former password is told from the newest by Kerberos, which needs the extra `windows` (pip install 'vestibule[windows]', with libkrb5);"
            " or write 0m, where OldPasswordAllowedPeriod is 0 on every controller",
        )


def _check_providers(config: Config, establishments: Collection[EstablishmentSettings]) -> Iterable[Finding]:
    directories = {directory.name: directory for directory in config.directories}
    slugs = {place.slug for place in establishments}
    taken: dict[str, str] = {}
    for index, provider in enumerate(config.providers):
        at = f"providers[{index}]"
        for number, domain in enumerate(provider.domains):
            if domain in taken:
                yield Finding("error", f"{at}.domains[{number}]", f"{domain} already leads to {taken[domain]}")
            taken[domain] = provider.name
        for number, slug in enumerate(provider.establishments):
            if slugs and slug not in slugs:
                yield Finding("warning", f"{at}.establishments[{number}]", f"{slug} is not in this file: right only if added by command")
        if provider.joins is not None:
            joined = directories.get(provider.joins)
            if joined is None:
                yield Finding("error", f"{at}.joins", f"{provider.joins} is none of `directories`")
            elif joined.type != "active-directory" or provider.type != "entra":
                yield Finding("error", f"{at}.joins", "only Entra ID knows people by the lasting id of an Active Directory")
            elif not provider.synchronised_tenants:
                words = "say which of the tenants are synchronised with that directory: another's administrator may write any lasting id"
                yield Finding("error", f"{at}.joined_tenants", words)
        wants_notices = isinstance(provider, EntraProviderSettings) and provider.watch is not None and provider.watch.subscriptions
        if wants_notices and not config.issuer.startswith("https://"):
            yield Finding("error", f"{at}.watch.subscriptions", "Microsoft tells an https address only, and `issuer` is none")
        if isinstance(provider, OidcProviderSettings):
            yield from _check_oidc(at, provider)
        else:
            yield from _check_entra(at, provider)
        if not provider.mapping and provider.joins is None and provider.creates_accounts:
            yield Finding("warning", f"{at}.mapping", "there is no rule: only people who are linked to an Account can come in by it")
        for number, rule in enumerate(provider.mapping):
            yield from check_rule(rule, config.profiles, establishments, at=f"{at}.mapping[{number}]")
            yield from check_word(rule, provider, f"{at}.mapping[{number}]")


def _check_entra(at: str, provider: EntraProviderSettings) -> Iterable[Finding]:
    if provider.joined_tenants and provider.joins is None:
        yield Finding("error", f"{at}.joined_tenants", "goes with `joins`")
    if not set(provider.joined_tenants) <= set(provider.tenants):
        yield Finding("error", f"{at}.joined_tenants", "must be among `tenants`")
    for key, file in (("ca_file", provider.ca_file), ("certificate", provider.certificate)):
        if file is not None and not file.is_file():
            yield Finding("error", f"{at}.{key}", f"cannot read {file}")
    if provider.watch is not None and not provider.watch.roles and any(rule.role is not None for rule in provider.mapping):
        yield Finding("error", f"{at}.watch.roles", "must be true: a rule names a role, and who has one must be asked of Graph too")
    for number, rule in enumerate(provider.mapping):
        is_named = rule.group is not None and not re.match(GUID, rule.group)
        if is_named and provider.groups == "token":
            words = "the token holds ids of groups: write the id, or groups: graph, where names are read"
            yield Finding("warning", f"{at}.mapping[{number}].group", words)
        if (is_named or rule.role is not None) and len(provider.tenants) > 1 and "tid" not in {name.lower() for name in rule.attributes}:
            words = "any of the tenants may name a group, or give a role, so: say whose with attributes: {tid: ...}"
            yield Finding("warning", f"{at}.mapping[{number}]", words)


def _check_oidc(at: str, provider: OidcProviderSettings) -> Iterable[Finding]:
    for key, file in (("ca_file", provider.ca_file), ("client_key", provider.client_key)):
        if file is not None and not file.is_file():
            yield Finding("error", f"{at}.{key}", f"cannot read {file}")
    if provider.preset == PRO_SANTE_CONNECT and not is_pro_sante_connect(provider.issuer):
        words = "is not Pro Santé Connect's, and its word eidas1 is believed as if it were (level psc): right only for a copy of it on a test bench"
        yield Finding("warning", f"{at}.issuer", words)
    if provider.preset == PRO_SANTE_CONNECT and provider.label != "Pro Santé Connect":
        yield Finding("warning", f"{at}.label", "the button must say Pro Santé Connect: its operator asks that of every service")
