"""A real 389 Directory Server in a private folder (Debian's 389-ds-base), for the one slow test that claims it works. Needs root: it runs as dirsrv.

`dscreate ds-root` makes a tree of its own, so nothing of the system is touched; the instance's own authority signs its certificate. Content: the
suffix dc=annuaire,dc=test with ou=people, ou=groups and a service account with the access that docs/connect-a-directory.md grants.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Clock
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.wire import ldap3
from idp.config.directories import LdapDirectorySettings
from tests.support.fixed_clock import FixedClock
from tests.support.processes import free_port, program, stop, wait_until
from tests.support.slapd_cast import DESK_SERVICE, GROUPS, PASSWORD, PEOPLE, SERVICE, SERVICE_PASSWORD, SUFFIX

ROOT, ROOT_PASSWORD = "cn=Directory Manager", "root-Anemone-77"
USER = "dirsrv"
TEMPLATE = """\
[general]
config_version = 2
full_machine_name = localhost
strict_host_checking = False
systemd = False
selinux = False
start = True
[slapd]
instance_name = test
port = {port}
secure_port = {tls_port}
self_sign_cert = True
root_dn = {root}
root_password = {password}
user = dirsrv
group = dirsrv
[backend-userroot]
suffix = {suffix}
create_suffix_entry = True
"""
READABLE = " || ".join(
    (
        *(
            "objectClass",
            "nsUniqueId",
            "uid",
            "cn",
            "sn",
            "givenName",
            "mail",
            "mobile",
            "employeeNumber",
            "employeeType",
            "departmentNumber",
        ),
        *("member", "uniqueMember", "nsAccountLock", "accountUnlockTime", "passwordExpirationTime"),
        *("passwordRetryCount", "retryCountResetTime"),
    )
)
ACCESS = (
    f'(targetattr = "{READABLE}")(version 3.0; acl "vestibule reads"; allow (read, search, compare) userdn = "ldap:///{SERVICE}";)',
    '(targetattr = "userPassword")(version 3.0; acl "own password"; allow (write) userdn = "ldap:///self";)',
)
DESK_ATTRIBUTES = "userPassword || accountUnlockTime || passwordRetryCount || retryCountResetTime || passwordExpirationTime"
DESK_ACCESS = (f'(targetattr = "{DESK_ATTRIBUTES}")(version 3.0; acl "vestibule desk"; allow (write) userdn = "ldap:///{DESK_SERVICE}";)',)
POLICY = {
    "nsslapd-listenhost": "127.0.0.1",
    "nsslapd-securelistenhost": "127.0.0.1",
    "passwordLockout": "on",
    "passwordMaxFailure": "3",
    "passwordUnlock": "off",
    "passwordMustChange": "on",
    "passwordChange": "on",
    "passwordCheckSyntax": "on",
    "passwordMinLength": "10",
    "passwordHistory": "on",
    "passwordInHistory": "3",
}


class Dirsrv:
    """One instance."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self._root = folder / "root"
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Install the instance, start it and furnish it."""
        self._install()
        self.start()
        self._furnish()

    @property
    def ldaps(self) -> str:
        """TLS from the first byte."""
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ldap(self) -> str:
        """For StartTLS."""
        return f"ldap://localhost:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The instance's own authority."""
        return self._root / "etc/dirsrv/slapd-test/ca.crt"

    def settings(self, **override: Any) -> dict[str, Any]:
        """An entry of `directories` in the YAML."""
        return {
            "name": "annuaire389",
            "type": "ldap",
            "servers": [self.ldaps],
            "ca_file": str(self.ca_file),
            "bind_dn": SERVICE,
            "bind_password": f"file:{self.folder / 'service.password'}",
            "base": PEOPLE,
            "lasting_id": "nsUniqueId",
            "groups": {"base": GROUPS},
            "mapping": [{"group": "{establishment}-infirmiers", "establishment": "{establishment}", "profile": "nurse"}],
            **override,
        }

    def desk(self, **override: Any) -> dict[str, Any]:
        """What `desk` of the settings says, for the reset desk's own account (`add_desk`)."""
        return {"bind_dn": DESK_SERVICE, "bind_password": f"file:{self.folder / 'service.password'}", **override}

    def add_desk(self) -> None:
        """The reset desk's own account, with the access that docs/connect-a-directory.md grants."""
        self.add(DESK_SERVICE, ["organizationalRole", "simpleSecurityObject"], {"cn": "vestibule-desk", "userPassword": SERVICE_PASSWORD})
        self.choose_password(DESK_SERVICE, SERVICE_PASSWORD, f"{SERVICE_PASSWORD}-2")
        self._write(lambda root: root.modify(PEOPLE, {"aci": [(ldap3.MODIFY_ADD, list(DESK_ACCESS))]}))

    def directory(self, clock: Clock | None = None, **override: Any) -> LdapDirectory:
        """The connector on this server."""
        settings = LdapDirectorySettings(**self.settings(**override))
        return LdapDirectory(settings.name, settings, clock or FixedClock(datetime.now(UTC)))

    def start(self) -> None:
        """Start in the foreground, as dirsrv."""
        command = [*_as_dirsrv(), program("ns-slapd", "389-ds-base"), "-D", self._root / "etc/dirsrv/slapd-test", "-d", "0"]
        command += ["-i", self._root / "run/dirsrv/slapd-test.pid"]
        with (self.folder / "ns-slapd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd="/", start_new_session=True)
        wait_until(self._answers, seconds=60, process=self._process, log=self.folder / "ns-slapd.log")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def add(self, dn: str, classes: Sequence[str], attributes: Mapping[str, Any]) -> None:
        """Add an entry."""
        self._write(lambda root: root.add(dn, list(classes), dict(attributes)))

    def add_person(self, uid: str, **attributes: str) -> str:
        """An inetOrgPerson with PASSWORD, set as an administrator does; its DN."""
        dn = f"uid={uid},{PEOPLE}"
        self.add(dn, ["inetOrgPerson"], {"uid": uid, "cn": uid, "sn": uid, "userPassword": PASSWORD, **attributes})
        return dn

    def modify(self, dn: str, **changes: str | None) -> None:
        """Replace attributes; None removes one."""
        replaced = {name: [(ldap3.MODIFY_REPLACE, [] if value is None else [value])] for name, value in changes.items()}
        self._write(lambda root: root.modify(dn, replaced))

    def configure(self, **changes: str) -> None:
        """Change the server's configuration, its password policy for instance."""
        self.modify("cn=config", **changes)

    def choose_password(self, dn: str, current: str, new: str) -> None:
        """Change a password as its owner."""
        with self.administering(dn, current) as owner:
            done, result, _, _ = owner.modify(dn, {"userPassword": [(ldap3.MODIFY_REPLACE, [new])]})
        assert done, f"{result['description']}: {result['message']}"

    def rename(self, dn: str, rdn: str) -> None:
        """Rename an entry."""
        self._write(lambda root: root.modify_dn(dn, rdn))

    def delete(self, dn: str) -> None:
        """Delete an entry."""
        self._write(lambda root: root.delete(dn))

    @contextmanager
    def administering(self, dn: str = ROOT, password: str = ROOT_PASSWORD) -> Iterator[Any]:
        """An ldap3 connection as somebody, in clear over the loopback."""
        server = ldap3.Server("127.0.0.1", port=self.port, get_info=ldap3.NONE, connect_timeout=5)
        connection = ldap3.Connection(server, dn, password, client_strategy=ldap3.SAFE_SYNC, check_names=False, receive_timeout=20)
        try:
            connection.bind()
            yield connection
        finally:
            connection.unbind()

    def _write(self, act: Any) -> None:
        with self.administering() as root:
            done, result, _, _ = act(root)
        assert done, f"{result['description']}: {result['message']}"

    def _answers(self) -> bool:
        try:
            for port in (self.port, self.tls_port):
                socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    def _install(self) -> None:
        dscreate = program("dscreate", "389-ds-base")
        (self.folder / "bin").mkdir()
        template = TEMPLATE.format(port=self.port, tls_port=self.tls_port, root=ROOT, password=ROOT_PASSWORD, suffix=SUFFIX)
        (self.folder / "instance.inf").write_text(template)
        (self.folder / "service.password").write_text(SERVICE_PASSWORD)
        owner = pwd.getpwnam(USER)
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        environment = {**os.environ, "HOME": str(self.folder), "PATH": f"{self.folder / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"}
        for command in (
            [dscreate, "ds-root", self._root, self.folder / "bin"],
            [self.folder / "bin" / "dscreate", "from-file", self.folder / "instance.inf"],
        ):
            done = subprocess.run(
                [*_as_dirsrv(), *command], env=environment, cwd="/", capture_output=True, text=True, timeout=180, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        # Until now it listened on every address: say otherwise, and start anew.
        self.configure(**POLICY)
        pid = int((self._root / "run/dirsrv/slapd-test.pid").read_text())
        os.kill(pid, 15)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), seconds=60)

    def _furnish(self) -> None:
        for unit in ("people", "groups", "services"):
            self.add(f"ou={unit},{SUFFIX}", ["organizationalUnit"], {"ou": unit})
        self.add(SERVICE, ["organizationalRole", "simpleSecurityObject"], {"cn": "vestibule", "userPassword": SERVICE_PASSWORD})
        self._write(lambda root: root.modify(SUFFIX, {"aci": [(ldap3.MODIFY_ADD, list(ACCESS))]}))
        self.choose_password(SERVICE, SERVICE_PASSWORD, f"{SERVICE_PASSWORD}-2")  # one that an administrator set must be changed first
        (self.folder / "service.password").write_text(f"{SERVICE_PASSWORD}-2")
        self._write(lambda root: root.modify(SERVICE, {"nsSizeLimit": [(ldap3.MODIFY_REPLACE, ["-1"])]}))


def _as_dirsrv() -> list[str]:
    return [program("setpriv", "util-linux"), f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


@contextmanager
def dirsrv() -> Iterator[Dirsrv]:
    """An instance for the length of the block (about twenty seconds to make), in a folder that dirsrv may enter."""
    program("ns-slapd", "389-ds-base")
    if os.geteuid() != 0:
        pytest.fail("389 Directory Server runs as its own user: this test needs root", pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="dirsrv-"))
    server = Dirsrv(folder)
    try:
        server.make()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
