"""A real OpenLDAP server in a private folder: ppolicy, memberof and syncprov overlays, LDAPS and StartTLS with a private authority.

The cast is in slapd_cast.py.
"""

import filecmp
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.base import Clock
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.wire import ldap3
from idp.config.directories import LdapDirectorySettings
from tests.support.certificates import PrivateAuthority
from tests.support.fixed_clock import FixedClock
from tests.support.ldap_server import PATIENT, LdapServer
from tests.support.processes import free_port, needed_file, program
from tests.support.slapd_cast import (
    CANARY,
    CANARY_SERVICE,
    DESK_SERVICE,
    GROUPS,
    PASSWORD,
    PASSWORD_SERVICE,
    PEOPLE,
    POLICY,
    ROOT,
    ROOT_PASSWORD,
    SCOPE,
    SERVICE,
    SERVICE_PASSWORD,
    SUFFIX,
    hashed,
    initial_groups,
    initial_ldif,
)
from tests.support.slapd_conf import CONF, LIMITS, READABLE, SHOWN_OF_GROUPS, TELLS

escape_rdn = ldap3.utils.dn.escape_rdn
DISABLED_FOREVER = "000001010000Z"
MAPPING: tuple[dict[str, Any], ...] = (
    {"group": "{establishment}-infirmiers", "establishment": "{establishment}", "profile": "nurse"},
    {"group": "{establishment}-aides", "establishment": "{establishment}", "profile": "aide"},
    {"group": None, "attributes": {"departmentNumber": "SI*"}, "establishment": "tilleuls", "profile": "it"},
)


class Slapd(LdapServer):
    """One server. `reset` brings back the initial content; ports and the lasting ids of the cast never change."""

    suffix, login_attribute = SUFFIX, "uid"

    def __init__(
        self,
        folder: Path,
        *,
        limits: str = LIMITS,
        readable: str = READABLE,
        shown_of_groups: str = SHOWN_OF_GROUPS,
        tells: str = TELLS,
    ) -> None:
        """`tells`: what makes it say what changes; empty: it does not."""
        self.folder = folder
        (folder / "db").mkdir(parents=True)
        authority = PrivateAuthority(folder / "tls")
        super().__init__(authority, authority.sign("good"))
        self.port, self.tls_port = free_port(), free_port()
        self._limits = limits
        self._readable = readable
        self._shown_of_groups = shown_of_groups
        self._tells = tells
        self._slapd = program("slapd", "slapd")
        for name, secret in (("service", SERVICE_PASSWORD), ("root", ROOT_PASSWORD)):
            (folder / f"{name}.password").write_text(secret)
        self._seed()

    @property
    def ldaps(self) -> str:
        """The server over TLS from the first byte."""
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def ldap(self) -> str:
        """The server for StartTLS."""
        return f"ldap://127.0.0.1:{self.port}"

    def settings(self, **override: Any) -> dict[str, Any]:
        """An entry of `directories` in the YAML (with `type` and `name`); `override` replaces top-level keys of it."""
        return {
            "name": "annuaire",
            "type": "ldap",
            "servers": [self.ldaps],
            "ca_file": str(self.ca_file),
            "bind_dn": SERVICE,
            "bind_password": f"file:{self.folder / 'service.password'}",
            "base": PEOPLE,
            "scope": SCOPE,
            "password_policy": POLICY,
            "attributes": {"others": ["departmentNumber"]},
            "groups": {"base": GROUPS},
            **PATIENT,
            "mapping": [dict(rule) for rule in MAPPING],
            **override,
        }

    def desk(self, **override: Any) -> dict[str, Any]:
        """What `desk` of the settings says, for the reset desk's own account."""
        return {"bind_dn": DESK_SERVICE, "bind_password": f"file:{self.folder / 'service.password'}", **override}

    def canary(self, **override: Any) -> dict[str, Any]:
        """What `canary` of the settings says of its own account, which has the right on one entry (slapd_cast.CANARY)."""
        return {"login": "d.claire", **self.desk(bind_dn=CANARY_SERVICE), **override}

    def directory(self, clock: Clock | None = None, **override: Any) -> LdapDirectory:
        """The connector on this server, as the program opens it from `settings`; on the real time, which slapd goes by, by default."""
        settings = LdapDirectorySettings(**self.settings(**override))
        return LdapDirectory(settings.name, settings, clock or FixedClock(datetime.now(UTC)))

    def start(self) -> None:
        """Start, on the same ports, and wait until it answers (0.05 s)."""
        if self.is_running:
            return
        with (self.folder / "slapd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._slapd, "-d", "none", "-f", self.folder / "slapd.conf", "-h", f"{self.ldap}/ {self.ldaps}/"],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.tls_port), 0.2):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "slapd.log").read_text(errors="replace")[-4000:])
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it in order; its connections are closed."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(60)
        self._process = None

    def reset(self) -> None:
        """The initial content, the good certificate, running. Costs nothing when nothing was written, 0.1 s otherwise."""
        if self.is_running:
            self.resume()
        same = filecmp.cmp(self.folder / "db" / "data.mdb", self.folder / "initial.mdb", shallow=False)
        if not (same and self.is_running and self._certificate is self._good):
            self.stop()
            self._certificate = self._good
            self._place_certificate()
            shutil.copyfile(self.folder / "initial.mdb", self.folder / "db" / "data.mdb")
            self.start()

    def subject(self, uid: str) -> str:
        """A person's entryUUID."""
        return self.values(uid, "entryUUID")[0]

    def add_person(self, uid: str, *, under: str = PEOPLE, password: str | None = PASSWORD, **attributes: str | Sequence[str]) -> str:
        """An inetOrgPerson; its DN. Attributes by their LDAP names; sn and cn are made up when not given."""
        dn = f"uid={uid},{under}"
        values: dict[str, Any] = {"uid": uid, "sn": uid, "cn": uid, **attributes}
        if password is not None:
            values["userPassword"] = hashed(password)
        self._write(lambda root: root.add(dn, ["inetOrgPerson", "shadowAccount"], values))
        return dn

    def add_group(self, name: str, *members: str, under: str = GROUPS) -> str:
        """A groupOfNames; `members` are DNs, at least one."""
        dn = f"cn={escape_rdn(name)},{under}"
        self._write(lambda root: root.add(dn, ["groupOfNames"], {"cn": name, "member": list(members)}))
        return dn

    def add_entry(self, dn: str, classes: Sequence[str], attributes: Mapping[str, Any]) -> None:
        """Any other entry."""
        self._write(lambda root: root.add(dn, list(classes), dict(attributes)))

    def join(self, group: str, dn: str) -> None:
        """Put an entry into a group, by the group's cn."""
        self._write(lambda root: root.modify(f"cn={group},{GROUPS}", {"member": [(ldap3.MODIFY_ADD, [dn])]}))

    def leave(self, group: str, dn: str) -> None:
        """Take an entry out of a group."""
        self._write(lambda root: root.modify(f"cn={group},{GROUPS}", {"member": [(ldap3.MODIFY_DELETE, [dn])]}))

    def disable(self, uid: str) -> None:
        """As an administrator does with ppolicy."""
        self.modify(self.dn(uid), {"pwdAccountLockedTime": DISABLED_FOREVER})

    def enable(self, uid: str) -> None:
        """The opposite."""
        self.modify(self.dn(uid), {"pwdAccountLockedTime": None})

    def lock(self, uid: str) -> None:
        """Wrong passwords until the policy locks (three of them)."""
        dn = self.dn(uid)
        for _ in range(3):
            connection = self._connection(dn, "wrong-Password-0")
            connection.bind()
            connection.unbind()

    def change_password(self, uid: str, password: str) -> None:
        """As the help desk does."""
        self.modify(self.dn(uid), {"userPassword": password})

    def must_change(self, uid: str) -> None:
        """As after a reset by the help desk."""
        self.modify(self.dn(uid), {"pwdReset": "TRUE"})

    def set_policy(self, **values: str) -> None:
        """Change the default password policy, for instance pwdMaxAge="1"."""
        self.modify(POLICY, values)

    @contextmanager
    def administering(self) -> Iterator[Any]:
        """An ldap3 connection as the directory's root, in clear over the loopback."""
        root = self._connection(ROOT, ROOT_PASSWORD)
        assert root.bind()[0], "the root of the directory was refused"
        try:
            yield root
        finally:
            root.unbind()

    def load(self, ldif: str) -> None:
        """Add many entries at once, offline (slapadd), and start again."""
        self.stop()
        self._slapadd(ldif, "-q")
        self.start()

    def _connection(self, dn: str, password: str) -> Any:
        server = ldap3.Server("127.0.0.1", port=self.port, get_info=ldap3.NONE, connect_timeout=5)
        return ldap3.Connection(server, dn, password, client_strategy=ldap3.SAFE_SYNC, check_names=False, receive_timeout=10)

    def _place_certificate(self) -> None:
        shutil.copyfile(self._certificate.certificate, self.folder / "server.pem")
        shutil.copyfile(self._certificate.key, self.folder / "server.key")

    def _seed(self) -> None:
        needed_file(Path("/usr/lib/ldap/ppolicy.so"), "slapd")
        names = {"suffix": SUFFIX, "root": ROOT, "people": PEOPLE, "groups": GROUPS, "policy": POLICY}
        names |= {
            "service": SERVICE,
            "password_service": PASSWORD_SERVICE,
            "desk_service": DESK_SERVICE,
            "canary_service": CANARY_SERVICE,
            "canary": CANARY,
            "readable": self._readable,
            "shown_of_groups": self._shown_of_groups,
            "tells": self._tells,
            "root_password": hashed(ROOT_PASSWORD),
        }
        conf = CONF.format(folder=self.folder, ca=self.ca_file, limits=self._limits.format(**names), **names)
        (self.folder / "slapd.conf").write_text(conf)
        self._place_certificate()
        self._slapadd(initial_ldif())
        self.start()
        for group, members in initial_groups():  # over LDAP, so that memberOf is kept
            self.add_group(group, *members)
        self.stop()
        shutil.copyfile(self.folder / "db" / "data.mdb", self.folder / "initial.mdb")

    def _slapadd(self, ldif: str, *how: str) -> None:
        """Quick (`-q`) makes a file of the whole `maxsize`, which each reset would read and write again."""
        path = self.folder / "entries.ldif"
        path.write_text(ldif, encoding="utf-8")
        command = [program("slapadd", "slapd"), *how, "-f", self.folder / "slapd.conf", "-l", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
