"""What no single field of the Windows session can tell: realms that the directory does not have, zones without a realm, keytabs that are not there.

Pure functions on the models, called by connector_checks.py; no ticket is asked (`vestibule connector check windows` does that).
"""

from collections.abc import Collection, Iterable
from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit

from idp.config.directories import ActiveDirectoryDirectorySettings, AnyDirectory, WindowsSettings
from idp.config.findings import Finding
from idp.config.models import Config, EstablishmentSettings


def check_windows(config: Config, establishments: Collection[EstablishmentSettings]) -> Iterable[Finding]:
    """Every rule about it; `establishments` are those of the file that could be read."""
    directories = {directory.name: directory for directory in config.directories}
    seen: set[str] = set()
    for index, windows in enumerate(config.windows):
        at = f"windows[{index}]"
        if windows.realm in seen:
            yield Finding("error", f"{at}.realm", f"{windows.realm} is already used: name all its keytabs in one entry")
        seen.add(windows.realm)
        directory = directories.get(windows.directory)
        if directory is None:
            yield Finding("error", f"{at}.directory", f"{windows.directory} is none of `directories`")
        else:
            yield from _check_realm(windows, directory, at)
        yield from _check_values(windows, at)
    has_zones = any(zone.windows for place in establishments for zone in place.zones)
    if config.windows and establishments and not has_zones:
        yield Finding("warning", "windows", "no zone of this file has `windows: true`: nobody is asked unless one was added by command")
    if has_zones and not config.windows:
        yield Finding("warning", "windows", "zones say `windows: true`, and no realm is named here: nobody is asked")
    if config.windows and _is_address(urlsplit(config.issuer).hostname or ""):
        yield Finding("warning", "windows", "the issuer is an IP address: browsers ask no ticket for one")
    if config.windows and find_spec("gssapi") is None:
        yield Finding("error", "windows", "the Windows session needs the extra `windows` (pip install 'vestibule[windows]', with libkrb5)")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_realm(windows: WindowsSettings, directory: AnyDirectory, at: str) -> Iterable[Finding]:
    """A realm whose people the directory does not know signs nobody in."""
    if isinstance(directory, ActiveDirectoryDirectorySettings):
        if windows.realm != directory.domain.upper():
            yield Finding("error", f"{at}.realm", f"the realm of {directory.name} is {directory.domain.upper()}")
    elif directory.kerberos is None:
        yield Finding("error", f"{at}.directory", f"{directory.name} does not say whose tickets are whose: set its kerberos.realm")
    elif directory.kerberos.realm != windows.realm:
        yield Finding("error", f"{at}.realm", f"the directory {directory.name} has the people of {directory.kerberos.realm}")


def _check_values(windows: WindowsSettings, at: str) -> Iterable[Finding]:
    for number, keytab in enumerate(windows.keytabs):
        if not keytab.is_file():
            yield Finding("error", f"{at}.keytabs[{number}]", f"cannot read {keytab}")
    for number, pattern in enumerate(windows.generic_accounts):
        if not pattern.rstrip("*") or "*" in pattern[:-1]:
            yield Finding("error", f"{at}.generic_accounts[{number}]", f"{pattern!r}: `*` stands at the end of a name, and once")
        elif any(character in pattern for character in "\\/@") or pattern != pattern.strip():
            yield Finding("error", f"{at}.generic_accounts[{number}]", f"{pattern!r}: write the account's name without a domain: poste-1")
    for number, service in enumerate(windows.services):
        if not service.startswith("HTTP/"):
            yield Finding("error", f"{at}.services[{number}]", f"{service}: browsers ask tickets for HTTP/<host> only")
