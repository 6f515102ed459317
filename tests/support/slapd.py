"""A real OpenLDAP server in a private folder: ppolicy, memberof and syncprov overlays, LDAPS and StartTLS with a private authority.

The suffix is dc=annuaire,dc=test. Everybody's password is PASSWORD. The cast (uid, all under ou=people):
  d.claire  nurse at tilleuls (group tilleuls-infirmiers), mail d.claire@annuaire.example, number 70001
  d.hugo    aide at glycines through a group in a group (glycines-nuit in glycines-aides), number 70002
  d.amina   nurse at tilleuls and at glycines, and in two groups that hold each other (boucle-a, boucle-b), number 70003
  d.zoe     Zoé Éluard, nurse at tilleuls, whose entry is named cn=Éluard\\, Zoé (RSSI) #1 - not by uid, number 70004
  d.paul    in no group; departmentNumber SI-12, number 70005
  d.remi    nurse at tilleuls but employeeType prestataire: outside `SCOPE`
  d.lea, d.noa   share the mail accueil@annuaire.example: it names neither
Service accounts: cn=vestibule (reads what the guide says, and nothing else), cn=vestibule-passwords (may also replace passwords).
"""

import base64
import filecmp
import hashlib
import secrets
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
from tests.support.certificates import PrivateAuthority, ServerCertificate
from tests.support.fixed_clock import FixedClock
from tests.support.processes import freeze, needed_file, program

escape_rdn = ldap3.utils.dn.escape_rdn
SUFFIX = "dc=annuaire,dc=test"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
POLICY = f"cn=default,ou=policies,{SUFFIX}"
SERVICE = f"cn=vestibule,ou=services,{SUFFIX}"
PASSWORD_SERVICE = f"cn=vestibule-passwords,ou=services,{SUFFIX}"
ROOT = f"cn=root,{SUFFIX}"
PASSWORD = "Muguet-Passerelle-58-Loutre"
SERVICE_PASSWORD = "Service-Tamaris-41-Grelot"
ROOT_PASSWORD = "root-Anemone-77"
SCOPE = "(&(objectClass=inetOrgPerson)(!(employeeType=prestataire)))"
DISABLED_FOREVER = "000001010000Z"
MAPPING: tuple[dict[str, Any], ...] = (
    {"group": "{establishment}-infirmiers", "establishment": "{establishment}", "profile": "nurse"},
    {"group": "{establishment}-aides", "establishment": "{establishment}", "profile": "aide"},
    {"group": None, "attributes": {"departmentNumber": "SI*"}, "establishment": "tilleuls", "profile": "it"},
)
Changes = Mapping[str, str | Sequence[str] | None]

CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload syncprov
moduleload memberof
pidfile {folder}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSVerifyClient never
TLSProtocolMin 3.3
sizelimit 500
threads 8
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw {root_password}
directory {folder}/db
maxsize 268435456
dbnosync
index objectClass,entryUUID,entryCSN eq
index uid,mail,employeeNumber eq
index member,uniqueMember,memberUid eq
{limits}
access to attrs=userPassword
  by dn.exact="{password_service}" write
  by self =xw
  by anonymous auth
  by * none
access to attrs=pwdHistory by * none
access to dn.subtree="{people}" attrs={readable}
  by dn.exact="{service}" read
  by dn.exact="{password_service}" read
  by * none
access to dn.subtree="{groups}" attrs=entry,objectClass,cn,member,uniqueMember,memberUid
  by dn.exact="{service}" read
  by dn.exact="{password_service}" read
  by * none
access to dn.subtree="ou=policies,{suffix}"
  by dn.exact="{service}" read
  by dn.exact="{password_service}" read
  by * none
access to * by * none
overlay memberof
memberof-group-oc groupOfNames
overlay ppolicy
ppolicy_default "{policy}"
ppolicy_use_lockout
overlay syncprov
syncprov-sessionlog 1000
"""
LIMITS = 'limits dn.exact="{service}" size=unlimited time=unlimited\nlimits dn.exact="{password_service}" size=unlimited time=unlimited'
# What docs/connect-a-directory.md grants: `entry` and `objectClass` to match, then what is read.
READABLE = ",".join(
    (
        *("entry", "children", "objectClass", "entryUUID", "uid", "cn", "sn", "givenName", "mail", "mobile"),
        *("employeeNumber", "employeeType", "departmentNumber", "shadowExpire"),
        *("pwdAccountLockedTime", "pwdReset", "pwdChangedTime", "pwdStartTime", "pwdEndTime", "pwdPolicySubentry"),
        "pwdFailureTime",
    )
)


class Slapd:
    """One server. `reset` brings back the initial content; ports and the lasting ids of the cast never change."""

    def __init__(self, folder: Path, *, limits: str = LIMITS, readable: str = READABLE) -> None:
        self.folder = folder
        (folder / "db").mkdir(parents=True)
        self.authority = PrivateAuthority(folder / "tls")
        self._good = self.authority.sign("good")
        self.ca_file = self.authority.ca_file
        self.port, self.tls_port = standing_port(), standing_port()
        self._limits = limits
        self._readable = readable
        self._process: subprocess.Popen[bytes] | None = None
        self._certificate = self._good
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

    @property
    def is_running(self) -> bool:
        """Whether the process lives (hung counts as alive)."""
        return self._process is not None and self._process.poll() is None

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
            "connect_timeout": "1s",
            "receive_timeout": "1s",
            "mapping": [dict(rule) for rule in MAPPING],
            **override,
        }

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
        deadline = time.monotonic() + 10
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
            self._process.wait(15)
        self._process = None

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

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

    def dn(self, uid: str) -> str:
        """Where a person's entry is now."""
        with self.administering() as root:
            found = root.search(SUFFIX, f"(uid={uid})", attributes=["1.1"])[2]
        names = [entry["dn"] for entry in found if entry["type"] == "searchResEntry"]
        assert len(names) == 1, f"{uid}: {names}"
        return str(names[0])

    def subject(self, uid: str) -> str:
        """A person's entryUUID."""
        return self.values(uid, "entryUUID")[0]

    def values(self, uid: str, attribute: str) -> list[str]:
        """The values of an attribute, operational ones too."""
        with self.administering() as root:
            found = root.search(SUFFIX, f"(uid={uid})", attributes=[attribute])[2]
        return [value.decode() for value in found[0]["raw_attributes"].get(attribute, [])]

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

    def modify(self, dn: str, changes: Changes) -> None:
        """Replace attributes; None or an empty list removes one."""
        replaced = {
            name: [(ldap3.MODIFY_REPLACE, [] if value is None else [value] if isinstance(value, str) else list(value))]
            for name, value in changes.items()
        }
        self._write(lambda root: root.modify(dn, replaced))

    def join(self, group: str, dn: str) -> None:
        """Put an entry into a group, by the group's cn."""
        self._write(lambda root: root.modify(f"cn={group},{GROUPS}", {"member": [(ldap3.MODIFY_ADD, [dn])]}))

    def leave(self, group: str, dn: str) -> None:
        """Take an entry out of a group."""
        self._write(lambda root: root.modify(f"cn={group},{GROUPS}", {"member": [(ldap3.MODIFY_DELETE, [dn])]}))

    def delete(self, dn: str) -> None:
        """Delete an entry."""
        self._write(lambda root: root.delete(dn))

    def rename(self, dn: str, rdn: str, *, under: str | None = None) -> str:
        """Rename an entry, or move it below another; its new DN."""
        parent = under or dn.split(",", 1)[1]
        self._write(lambda root: root.modify_dn(dn, rdn, new_superior=under))
        return f"{rdn},{parent}"

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

    def can_bind(self, dn: str, password: str) -> bool:
        """Whether a password works there now (it counts as a try)."""
        connection = self._connection(dn, password)
        try:
            return bool(connection.bind()[0])
        finally:
            connection.unbind()

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
        self._slapadd(ldif)
        self.start()

    def _connection(self, dn: str, password: str) -> Any:
        server = ldap3.Server("127.0.0.1", port=self.port, get_info=ldap3.NONE, connect_timeout=5)
        return ldap3.Connection(server, dn, password, client_strategy=ldap3.SAFE_SYNC, check_names=False, receive_timeout=10)

    def _write(self, act: Any) -> None:
        with self.administering() as root:
            done, result, _, _ = act(root)
        assert done, f"{result['description']}: {result['message']}"

    def _place_certificate(self) -> None:
        shutil.copyfile(self._certificate.certificate, self.folder / "server.pem")
        shutil.copyfile(self._certificate.key, self.folder / "server.key")

    def _seed(self) -> None:
        needed_file(Path("/usr/lib/ldap/ppolicy.so"), "slapd")
        names = {"suffix": SUFFIX, "root": ROOT, "people": PEOPLE, "groups": GROUPS, "policy": POLICY}
        names |= {
            "service": SERVICE,
            "password_service": PASSWORD_SERVICE,
            "readable": self._readable,
            "root_password": hashed(ROOT_PASSWORD),
        }
        conf = CONF.format(folder=self.folder, ca=self.ca_file, limits=self._limits.format(**names), **names)
        (self.folder / "slapd.conf").write_text(conf)
        self._place_certificate()
        self._slapadd(_initial_ldif())
        self.start()
        for group, members in _initial_groups():  # over LDAP, so that memberOf is kept
            self.add_group(group, *members)
        self.stop()
        shutil.copyfile(self.folder / "db" / "data.mdb", self.folder / "initial.mdb")

    def _slapadd(self, ldif: str) -> None:
        path = self.folder / "entries.ldif"
        path.write_text(ldif, encoding="utf-8")
        command = [program("slapadd", "slapd"), "-q", "-f", self.folder / "slapd.conf", "-l", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr


def standing_port() -> int:
    """A free loopback port outside the range that outgoing connections use: somebody who tries a stopped server again and again would otherwise
    connect to themselves sooner or later, and keep the port from it."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def hashed(password: str) -> str:
    """{SSHA}, as slapd compares it."""
    salt = b"annuaire"
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def ldif_entry(dn: str, attributes: Mapping[str, str | Sequence[str]]) -> str:
    """One entry as LDIF (RFC 2849), base64 where needed."""
    lines = [_ldif_line("dn", dn)]
    for name, value in attributes.items():
        lines += [_ldif_line(name, one) for one in ([value] if isinstance(value, str) else value)]
    return "\n".join(lines) + "\n\n"


def person_ldif(uid: str, given_name: str, family_name: str, *, dn: str | None = None, **attributes: str) -> str:
    """A person of the cast as LDIF."""
    values = {
        "objectClass": ["inetOrgPerson", "shadowAccount"],
        "uid": uid,
        "cn": f"{given_name} {family_name}",
        "givenName": given_name,
        "sn": family_name,
        "userPassword": hashed(PASSWORD),
        **attributes,
    }
    return ldif_entry(dn or f"uid={uid},{PEOPLE}", values)


def _ldif_line(name: str, value: str) -> str:
    plain = value.isascii() and value.isprintable() and not value.startswith((" ", ":", "<")) and not value.endswith(" ")
    return f"{name}: {value}" if plain else f"{name}:: {base64.b64encode(value.encode()).decode()}"


ZOE = f"cn=Éluard\\, Zoé (RSSI) #1,{PEOPLE}"


def _initial_ldif() -> str:
    units = "".join(
        ldif_entry(dn, {"objectClass": "organizationalUnit", "ou": dn.split(",")[0][3:]})
        for dn in (
            PEOPLE,
            f"ou=nights,{PEOPLE}",
            GROUPS,
            f"ou=services,{SUFFIX}",
            f"ou=policies,{SUFFIX}",
            f"ou=elsewhere,{SUFFIX}",
        )
    )
    policy = {
        "objectClass": ["device", "pwdPolicy"],
        "cn": "default",
        "pwdAttribute": "userPassword",
        "pwdLockout": "TRUE",
        "pwdMaxFailure": "3",
        "pwdLockoutDuration": "0",
        "pwdFailureCountInterval": "0",
        "pwdMustChange": "TRUE",
        "pwdAllowUserChange": "TRUE",
        "pwdCheckQuality": "1",
        "pwdMinLength": "10",
        "pwdInHistory": "3",
        "pwdMaxAge": "0",
    }
    services = "".join(
        ldif_entry(
            dn,
            {
                "objectClass": ["organizationalRole", "simpleSecurityObject"],
                "cn": dn.split(",")[0][3:],
                "userPassword": hashed(SERVICE_PASSWORD),
            },
        )
        for dn in (SERVICE, PASSWORD_SERVICE)
    )
    cast = (
        person_ldif("d.claire", "Claire", "Dumont", mail="d.claire@annuaire.example", employeeNumber="70001", mobile="06 00 00 00 01"),
        person_ldif("d.hugo", "Hugo", "Delmas", mail="d.hugo@annuaire.example", employeeNumber="70002"),
        person_ldif("d.amina", "Amina", "Diallo", mail="d.amina@annuaire.example", employeeNumber="70003"),
        person_ldif("d.zoe", "Zoé", "Éluard", dn=ZOE, mail="d.zoe@annuaire.example", employeeNumber="70004").replace(
            _ldif_line("cn", "Zoé Éluard"), _ldif_line("cn", "Éluard, Zoé (RSSI) #1")
        ),
        person_ldif("d.paul", "Paul", "Derain", mail="d.paul@annuaire.example", employeeNumber="70005", departmentNumber="SI-12"),
        person_ldif("d.remi", "Rémi", "Dorval", mail="d.remi@annuaire.example", employeeNumber="70006", employeeType="prestataire"),
        person_ldif("d.lea", "Léa", "Dufour", mail="accueil@annuaire.example", employeeNumber="70007"),
        person_ldif("d.noa", "Noa", "Dufour", mail="accueil@annuaire.example", employeeNumber="70008"),
    )
    root = ldif_entry(SUFFIX, {"objectClass": ["dcObject", "organization"], "dc": "annuaire", "o": "Annuaire"})
    return root + units + ldif_entry(POLICY, policy) + services + "".join(cast)


def _initial_groups() -> tuple[tuple[str, tuple[str, ...]], ...]:
    claire, hugo, amina, remi = (f"uid={uid},{PEOPLE}" for uid in ("d.claire", "d.hugo", "d.amina", "d.remi"))
    return (
        ("tilleuls-infirmiers", (claire, amina, ZOE, remi)),
        ("glycines-infirmiers", (amina,)),
        ("glycines-nuit", (hugo,)),
        ("glycines-aides", (f"cn=glycines-nuit,{GROUPS}",)),
        ("boucle-a", (amina, f"cn=boucle-b,{GROUPS}")),
        ("boucle-b", (f"cn=boucle-a,{GROUPS}",)),
    )
