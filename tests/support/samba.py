"""A real Active Directory domain (Samba AD DC) on a private loopback address: LDAP, LDAPS with a private authority, and a KDC on the standard ports.

Needs root. One domain is provisioned a day, for all test runs and workers (10 s, behind a file lock); a controller is a copy of it (0.05 s) on a
loopback address of its own (127.0.0.70 to .99, each held by a file lock), started in half a second. Two controllers are two copies: nothing is
replicated between them.

    def test_x(samba):                         # one controller with its initial content, running; reset() before each test
        samba.add_person("a.neuf", mail="neuf@residences.example")     # its DN; password PASSWORD, set just now (is_old=True: a week ago)
        samba.add_group("tilleuls-infirmiers2", samba.dn("a.neuf"));  samba.join("tilleuls-infirmiers", dn);  samba.leave(...)
        samba.disable("a.neuf"); .enable .lock .unlock .must_change .expire_account .expire_password .set_password(login, new)
            samba.delete(dn);  samba.rename(dn, rdn, under=...)
        samba.modify(dn, {"title": "x", "mail": None});  samba.values(login, "mail");  samba.subject(login)  # objectGUID;  samba.sid(login)
        samba.settings() / samba.directory()   # `directories` entry of the YAML / the connector on it
    def test_y(samba, second_samba): ...       # the second clone of the same domain; samba.stop(), samba.start(), samba.hang(), samba.resume()

Kerberos: realm REALM, KDC at `samba.address`, TCP and UDP 88, kpasswd 464; `samba.krb5_conf` is a krb5.conf file that names it.
    samba.add_service("svc-idp", "HTTP/idp.ehpad.test")                # an account with AES keys and SPNs, password SERVICE_PASSWORD
    samba.export_keytab(path, "HTTP/idp.ehpad.test")                   # its keytab
    samba.tool("user", "list")                                         # samba-tool on this controller's own database
In a ticket the client is sAMAccountName@REALM; its PAC holds samba.sid(login).

The cast is in samba_cast.py, what an administrator can do to it in samba_people.py, the domain that controllers are copied from in samba_domain.py.
"""

import fcntl
import filecmp
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from connectors.active_directory.directory import ActiveDirectory
from connectors.base import Clock
from connectors.ldap.wire import ldap3
from idp.config.directories import ActiveDirectoryDirectorySettings
from tests.support.fixed_clock import FixedClock
from tests.support.ldap_server import PATIENT
from tests.support.processes import program
from tests.support.samba_cast import (
    ADMINISTRATOR,
    ADMINISTRATOR_PASSWORD,
    DNS_DOMAIN,
    GROUPS,
    HOST,
    NETBIOS,
    PEOPLE,
    RESET_SERVICE,
    SERVICE,
    SERVICE_PASSWORD,
)
from tests.support.samba_people import DomainPeople

if TYPE_CHECKING:
    from tests.support.samba_domain import Domain

MAPPING: tuple[dict[str, Any], ...] = (
    {"group": "{establishment}-infirmiers", "establishment": "{establishment}", "profile": "nurse"},
    {"group": "{establishment}-aides", "establishment": "{establishment}", "profile": "aide"},
    {"group": None, "attributes": {"department": "SI*"}, "establishment": "tilleuls", "profile": "it"},
)
IDLE_SECONDS = 600
"""A connection nobody used for so long is not used again: Samba closes it after 900 s (MaxConnIdleTime)."""
CONF = """\
{kept}
\tinterfaces = {address}/8
\tserver services = ldap, cldap, kdc
\ttls keyfile = {folder}/tls/server.key
\ttls certfile = {folder}/tls/server.pem
\ttls cafile = {ca_file}
\tlog file = {folder}/log.%m
\tpid directory = {folder}/run
\tncalrpc dir = {folder}/ncalrpc
\twinbindd socket directory = {folder}/winbindd
"""
KRB5_CONF = """\
[libdefaults]
 default_realm = EHPAD.TEST
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 EHPAD.TEST = {
  kdc = ADDRESS:88
  kpasswd_server = ADDRESS:464
 }
[domain_realm]
 .ehpad.test = EHPAD.TEST
 ehpad.test = EHPAD.TEST
"""


class Samba(DomainPeople):
    """One controller. `reset` brings back the initial content; its address never changes."""

    def __init__(self, domain: "Domain", folder: Path) -> None:
        self.folder = folder
        self.domain = domain
        self.address, self._lease = leased_address()
        names = (HOST, "localhost")
        super().__init__(domain.authority, domain.authority.sign(f"dc-{self.address}", names=names, addresses=(self.address,)))
        shutil.copytree(domain.template, folder, symlinks=True, ignore=shutil.ignore_patterns("msg.sock"))
        for name in ("tls", "run"):
            (folder / name).mkdir(exist_ok=True)
        self._place_certificate()
        self.smb_conf = folder / "etc" / "smb.conf"
        self.smb_conf.write_text(self._conf(domain.template))
        self.krb5_conf = folder / "krb5.conf"
        self.krb5_conf.write_text(KRB5_CONF.replace("ADDRESS", self.address))
        for name, secret in (("service", SERVICE_PASSWORD), ("administrator", ADMINISTRATOR_PASSWORD)):
            (folder / f"{name}.password").write_text(secret)
        self._administrator: Any = None
        self._administered = 0.0

    @property
    def ldaps(self) -> str:
        """The server over TLS from the first byte."""
        return f"ldaps://{self.address}"

    @property
    def ldap(self) -> str:
        """The server for StartTLS."""
        return f"ldap://{self.address}"

    def settings(self, **override: Any) -> dict[str, Any]:
        """An entry of `directories` in the YAML (with `type` and `name`); `override` replaces top-level keys of it."""
        return {
            "name": "domaine",
            "type": "active-directory",
            "domain": DNS_DOMAIN,
            "netbios_name": NETBIOS,
            "servers": [self.ldaps],
            "ca_file": str(self.ca_file),
            "bind_dn": SERVICE,
            "bind_password": f"file:{self.folder / 'service.password'}",
            "base": PEOPLE,
            "attributes": {"others": ["department"]},
            "groups": {"base": GROUPS},
            **PATIENT,
            "mapping": [dict(rule) for rule in MAPPING],
            **override,
        }

    def desk(self, **override: Any) -> dict[str, Any]:
        """What `desk` of the settings says, for the reset desk's own account."""
        return {"bind_dn": RESET_SERVICE, "bind_password": f"file:{self.folder / 'service.password'}", **override}

    def directory(self, clock: Clock | None = None, **override: Any) -> ActiveDirectory:
        """The connector on this controller, as the program opens it from `settings`; on the real time, which Samba goes by, by default."""
        settings = ActiveDirectoryDirectorySettings(**self.settings(**override))
        return ActiveDirectory(settings.name, settings, clock or FixedClock(datetime.now(UTC)))

    def start(self) -> None:
        """Start and wait until LDAPS and the KDC answer (0.5 s). It dies with this process: `samba -i` ends when its input does."""
        if self.is_running:
            return
        with (self.folder / "samba.out").open("ab") as log:
            self._process = subprocess.Popen(
                [program("samba", "samba"), "-i", "-M", "single", "-s", self.smb_conf, "--debug-stdout", "-d1"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "KRB5_CONFIG": str(self.krb5_conf)},
            )
        deadline = time.monotonic() + 60
        for port in (636, 88):
            while not _accepts(self.address, port):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "samba.out").read_text(errors="replace")[-4000:])
                time.sleep(0.01)

    def stop(self) -> None:
        """Stop it in order; its connections are closed."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGCONT)
            self._forget_administrator()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(60)
        self._process = None

    def kill(self) -> None:
        """kill -9 of all of it."""
        stdin = self._process.stdin if self._process is not None else None
        super().kill()
        if stdin is not None:
            stdin.close()
        self._forget_administrator()

    def _forget_administrator(self) -> None:
        if self._administrator is not None:
            with suppress(ldap3.core.exceptions.LDAPExceptionError, OSError):  # it may have died
                self._administrator.unbind()
            self._administrator = None

    def reset(self) -> None:
        """The initial content, the good certificate, running. Costs nothing when nothing was written, half a second otherwise."""
        if self.is_running:
            self.resume()
        if self.is_running and self._certificate is self._good and not self._is_changed():
            return
        self.stop()
        self._certificate = self._good
        self._place_certificate()
        for path in self.databases():
            shutil.copyfile(self.domain.template / path, self.folder / path)
        self.start()

    def close(self) -> None:
        """Stop, and let others have the address."""
        self.stop()
        self._lease.close()

    @contextmanager
    def administering(self) -> Iterator[Any]:
        """An ldap3 connection as the domain's Administrator, kept until the controller stops."""
        if self._administrator is not None and time.monotonic() - self._administered > IDLE_SECONDS:
            self._forget_administrator()
        if self._administrator is None:
            administrator = self._connection(ADMINISTRATOR, ADMINISTRATOR_PASSWORD)
            done, result, _, _ = administrator.bind()
            assert done, f"the Administrator was refused: {result}"
            self._administrator = administrator
        self._administered = time.monotonic()
        yield self._administrator

    def _connection(self, name: str, password: str) -> Any:
        server = ldap3.Server(self.address, port=636, use_ssl=True, get_info=ldap3.NONE, connect_timeout=5)
        return ldap3.Connection(server, name, password, client_strategy=ldap3.SAFE_SYNC, check_names=False, receive_timeout=10)

    def databases(self) -> list[Path]:
        """The files that hold the domain, relative to the folder."""
        return [path.relative_to(self.domain.template) for path in sorted((self.domain.template / "private").rglob("*.*db"))]

    def _is_changed(self) -> bool:
        parts = [path for path in self.databases() if path.parent.name == "sam.ldb.d" and path.suffix == ".ldb"]
        return not all(filecmp.cmp(self.domain.template / path, self.folder / path, shallow=False) for path in parts)

    def _place_certificate(self) -> None:
        for source, name in ((self._certificate.certificate, "server.pem"), (self._certificate.key, "server.key")):
            shutil.copyfile(source, self.folder / "tls" / name)
        (self.folder / "tls" / "server.key").chmod(0o600)

    def _conf(self, template: Path) -> str:
        text = self.smb_conf.read_text().replace(str(template), str(self.folder))
        text = re.split(r"^\[(?!global)", text, flags=re.MULTILINE)[0]  # no file shares
        ours = r"^\s*(server services|dns forwarder|interfaces|log file|logging|panic action)\s*=.*\n"
        kept = re.sub(ours, "", text, flags=re.MULTILINE).rstrip()
        return CONF.format(kept=kept, address=self.address, folder=self.folder, ca_file=self.ca_file)


def leased_address() -> tuple[str, IO[bytes]]:
    """A loopback address that no other test process of this machine uses while the file is open."""
    folder = Path(tempfile.gettempdir()) / "vestibule-samba-addresses"
    folder.mkdir(exist_ok=True)
    for number in range(70, 100):
        address = f"127.0.0.{number}"
        lease = (folder / address).open("wb")
        with suppress(BlockingIOError):
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_free(address):
                return address, lease
        lease.close()
    pytest.fail("no loopback address is free for a Samba controller", pytrace=False)


def _is_free(address: str) -> bool:
    """Whether nobody holds the ports there, not even a controller that hangs and that nobody stopped."""
    with suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, 389))
        return True
    return False


def _accepts(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), 0.3):
        return True
    return False
