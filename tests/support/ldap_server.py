"""What a directory server of the tests can do whatever its kind: be there or not, show a certificate, be written to as an administrator.

Owns no program and no cast: slapd.py and samba.py start the servers, slapd_cast.py and samba_cast.py say who is in them.
"""

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from connectors.ldap.wire import ldap3
from tests.support.certificates import PrivateAuthority, ServerCertificate
from tests.support.processes import freeze

PATIENT = {"connect_timeout": "10s", "receive_timeout": "10s"}
"""The waits of a connector in tests: a machine that stalls for seconds is no directory that hangs."""
IMPATIENT = {"connect_timeout": "3s", "receive_timeout": "3s"}
"""Of a connector whose directory is made to hang."""

Changes = Mapping[str, str | bytes | Sequence[str] | Sequence[bytes] | None]


class LdapServer(ABC):
    """One server. `authority` signs what it shows; `good` is the certificate that it shows at first."""

    suffix: ClassVar[str]
    login_attribute: ClassVar[str]

    def __init__(self, authority: PrivateAuthority, good: ServerCertificate) -> None:
        self.authority = authority
        self.ca_file = authority.ca_file
        self._good = self._certificate = good
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Start and wait until it answers; nothing to do for one that runs."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it in order; its connections are closed."""

    @abstractmethod
    def administering(self) -> AbstractContextManager[Any]:
        """An ldap3 connection of one who may do everything."""

    @abstractmethod
    def _connection(self, name: str, password: str) -> Any: ...

    @abstractmethod
    def _place_certificate(self) -> None: ...

    @property
    def is_running(self) -> bool:
        """Whether the process lives (hung counts as alive)."""
        return self._process is not None and self._process.poll() is None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """kill -9 of all of it."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(15)
        self._process = None

    def hang(self) -> None:
        """From now on it accepts connections (the kernel does) and says nothing."""
        assert self._process is not None
        freeze(self._process.pid)

    def resume(self) -> None:
        """It goes on where it was; nothing happens to one that was stopped."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def present(self, certificate: ServerCertificate | None) -> None:
        """Restart with another certificate; None: the good one."""
        self._certificate = certificate or self._good
        self.stop()
        self._place_certificate()
        self.start()

    def dn(self, login: str) -> str:
        """Where an entry is now, by the attribute that people of this server sign in with."""
        return str(self._entry(login, "1.1")["dn"])

    def raw(self, login: str, attribute: str) -> list[bytes]:
        """The values of an attribute of an entry, as they are sent; operational and constructed ones too."""
        values = {name.lower(): list(raw) for name, raw in self._entry(login, attribute)["raw_attributes"].items()}
        return values.get(attribute.lower(), [])

    def values(self, login: str, attribute: str) -> list[str]:
        """The same as text."""
        return [value.decode() for value in self.raw(login, attribute)]

    def modify(self, dn: str, changes: Changes) -> None:
        """Replace attributes; None or an empty list removes one."""
        replaced = {
            name: [(ldap3.MODIFY_REPLACE, [] if value is None else [value] if isinstance(value, str | bytes) else list(value))]
            for name, value in changes.items()
        }
        self._write(lambda administrator: administrator.modify(dn, replaced))

    def delete(self, dn: str) -> None:
        """Delete an entry."""
        self._write(lambda administrator: administrator.delete(dn))

    def rename(self, dn: str, rdn: str, *, under: str | None = None) -> str:
        """Rename an entry, or move it below another; its new DN."""
        self._write(lambda administrator: administrator.modify_dn(dn, rdn, new_superior=under))
        return f"{rdn},{under or dn.split(',', 1)[1]}"

    def can_bind(self, name: str, password: str) -> bool:
        """Whether a password works there now (it counts as a try). `name`: a DN, or whatever else the server takes."""
        connection = self._connection(name, password)
        try:
            return bool(connection.bind()[0])
        finally:
            connection.unbind()

    def _entry(self, login: str, attribute: str) -> Any:
        with self.administering() as administrator:
            found = administrator.search(self.suffix, f"({self.login_attribute}={login})", attributes=[attribute])[2]
        entries = [entry for entry in found if entry["type"] == "searchResEntry"]
        assert len(entries) == 1, f"{login}: {[entry['dn'] for entry in entries]}"
        return entries[0]

    def _write(self, act: Callable[[Any], Any]) -> None:
        with self.administering() as administrator:
            done, result, _, _ = act(administrator)
        assert done, f"{result['description']}: {result['message']}"
