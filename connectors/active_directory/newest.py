"""Whether a password that a domain controller took is the newest: for an hour after a change it takes the former one too, by LDAP.

A Kerberos AS exchange does not (RFC 4120 section 3.1, tested with the controller's default). gssapi does it: in the caller's thread, releasing the
interpreter; the ticket goes to a cache in memory that nobody else sees and that ends with the credential.
"""

import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec

from connectors.base import SourceMisbehaved
from connectors.kerberos.environment import Realm, add_realm

PORT = 88
# KRB5KDC_ERR_* as the library numbers them ([RFC 4120] section 7.5.9, in its table).
TABLE = -1765328384
KEY_EXPIRED = 23  # said to who has the password alone: the right one, and it must be changed
REFUSALS = frozenset({6, 18, 24, 31})  # no such principal, revoked, preauthentication failed, integrity check failed
SPECIAL = str.maketrans({"\\": "\\\\", "/": "\\/", "@": "\\@"})


class NewestPassword:
    """The controllers of one domain, as Kerberos is asked. Safe to share between threads."""

    def __init__(self, realm: str, controllers: Sequence[tuple[str, int]], timeout: timedelta) -> None:
        """`controllers` are hosts and ports. Tells this process of the realm: to be made before any thread asks Kerberos anything."""
        self._realm = realm
        self._controllers = tuple(controllers)
        self._seconds = timeout.total_seconds()
        add_realm(Realm(realm, tuple(written(host, port) for host, port in self._controllers)))

    def is_newest(self, login: str, password: bytes) -> bool:
        """Whether the realm takes the password of a login (sAMAccountName) now, expired or not.

        Raises SourceMisbehaved when it cannot say: the password must then not be believed, though the directory itself is well.
        """
        if find_spec("gssapi") is None:
            raise SourceMisbehaved("gssapi is not installed: whether a password is the newest cannot be told (old_password_window)")
        if not self.reachable():
            hosts = ", ".join(written(host, port) for host, port in self._controllers)
            raise SourceMisbehaved(f"no controller answers Kerberos at {hosts}: whether a password is the newest cannot be told")
        return self._exchange(login, password)

    def reachable(self) -> tuple[str, ...]:
        """The controllers that take a connection for Kerberos; the library itself would wait for a silent one for long."""
        return tuple(written(host, port) for host, port in self._controllers if self._answers(host, port))

    def _answers(self, host: str, port: int) -> bool:
        with suppress(OSError, UnicodeError), socket.create_connection((host, port), self._seconds):
            return True
        return False

    def _exchange(self, login: str, password: bytes) -> bool:
        import gssapi  # an extra, and only where a window is set
        from gssapi.raw import acquire_cred_with_password

        name = gssapi.Name(f"{login.translate(SPECIAL)}@{self._realm}", gssapi.NameType.kerberos_principal)
        try:
            acquire_cred_with_password(name, password, usage="initiate", mechs=[gssapi.MechType.kerberos])
        except gssapi.raw.GSSError as error:
            # The library's number is 32 bits without a sign.
            code = (error.min_code - TABLE) & 0xFFFFFFFF
            if code == KEY_EXPIRED:
                return True
            if code in REFUSALS:
                return False
            raise SourceMisbehaved(f"Kerberos cannot say whether a password is the newest: {error}") from error
        return True


def written(host: str, port: int) -> str:
    """As krb5.conf has it."""
    host = f"[{host}]" if ":" in host else host
    return host if port == PORT else f"{host}:{port}"


def read_controller(text: str) -> tuple[str, int]:
    """`host`, `host:port` or `[address]:port` as a host and a port; raises ValueError."""
    host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", str(PORT))
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} must be a host, or host:port")
    return host, int(port)
