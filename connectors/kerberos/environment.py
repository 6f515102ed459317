"""Where MIT Kerberos, which gssapi stands on, reads its settings in this process: which controllers each realm has, and nothing from this machine.

The library reads the file that KRB5_CONFIG names, and that is one for the whole process: realms are therefore gathered here, into a file in memory,
while connectors are opened and before any thread asks Kerberos anything. Used by connectors.active_directory and connectors.kerberos; never gssapi.
"""

import os
import re
from dataclasses import dataclass

VARIABLE = "KRB5_CONFIG"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
HEAD = """\
[libdefaults]
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
 permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha256-128
[realms]
"""
REALM = re.compile(r"^ (\S+) = \{\n((?:  kdc = \S+\n)*) \}\n", re.MULTILINE)
CONTROLLER = re.compile(r"^  kdc = (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Realm:
    """A Kerberos realm. `name` in capitals; `controllers` are host names or addresses of its KDCs, host:port where it is not 88; empty for one
    whose tickets are accepted and that is never asked."""

    name: str
    controllers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!r} is not a realm's name")
        for controller in self.controllers:
            if not controller or not controller.isprintable() or " " in controller or set(controller) & set("{}#;"):
                raise ValueError(f"{controller!r} is not a host")


def add_realm(realm: Realm) -> None:
    """Let this process know a realm, or its controllers when it knew another list. Called when connectors are opened, never while they are used.

    A realm that is named without controllers does not lose those it has.
    """
    known = _known()
    if realm.name in known and known[realm.name] in {realm.controllers, realm.controllers or known[realm.name]}:
        return
    _tell(known | {realm.name: realm.controllers})


def _known() -> dict[str, tuple[str, ...]]:
    """The realms of our own file; none when the variable names another's."""
    path = os.environ.get(VARIABLE, "")
    if not path.startswith(f"/proc/{os.getpid()}/fd/"):
        return {}
    with open(path, encoding="utf-8") as file:
        return {name: tuple(CONTROLLER.findall(controllers)) for name, controllers in REALM.findall(file.read())}


def _tell(realms: dict[str, tuple[str, ...]]) -> None:
    """Another file each time: the library keeps what it has read of a path. In memory, so that nothing is left behind and nobody writes there;
    it stays open for as long as the process."""
    lines = [HEAD]
    for name, controllers in realms.items():
        lines += [f" {name} = {{\n", *(f"  kdc = {controller}\n" for controller in controllers), " }\n"]
    handle = os.memfd_create("krb5.conf")
    os.write(handle, "".join(lines).encode())
    os.environ[VARIABLE] = f"/proc/{os.getpid()}/fd/{handle}"
