"""The people and groups of a Samba controller (samba.py), written as an administrator of the domain writes them.

Owns what is particular to Active Directory; LdapServer has what any directory takes. What LDAP does not take is done on the database itself.
"""

import subprocess
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.ldap.wire import ldap3
from tests.support.ldap_server import LdapServer
from tests.support.processes import program
from tests.support.samba_cast import DNS_DOMAIN, GROUPS, PASSWORD, PEOPLE, SERVICE_PASSWORD, SERVICES, SUFFIX

escape_rdn = ldap3.utils.dn.escape_rdn
NORMAL, DISABLED = 0x200, 0x2
NEVER = 0x7FFFFFFFFFFFFFFF
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
USER_CLASS = "bf967aba-0de6-11d0-a285-00aa003049e2"
DELEGATED = {  # docs/connect-active-directory.md: reset, unlock, must change at next logon
    "reset password": ("CR", "00299570-246d-11d0-a768-00aa006e0529"),
    "lockoutTime": ("RPWP", "28630ebf-41d5-11d1-a9c1-0000f80367c1"),
    "pwdLastSet": ("RPWP", "bf967a0a-0de6-11d0-a285-00aa003049e2"),
}
SYSTEM_PYTHON = "/usr/bin/python3"  # Samba's own library is installed for this one
OPEN_BY_HAND = """
import sys, ldb
from samba.samdb import SamDB
from samba.auth import system_session
from samba.param import LoadParm
lp = LoadParm(); lp.load(sys.argv[1])
samdb = SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(), lp=lp)
"""
CHANGE_BY_HAND = """
for name in sys.argv[3:]:
    message = ldb.Message(ldb.Dn(samdb, name))
    message["p"] = ldb.MessageElement(sys.argv[2], ldb.FLAG_MOD_REPLACE, "pwdLastSet")
    samdb.modify(message, controls=["local_oid:1.3.6.1.4.1.7165.4.3.20:0"])
"""
ADD_BY_HAND = """
under, group, logins = sys.argv[2], sys.argv[3], sys.argv[4:]
samdb.transaction_start()
for login in logins:
    samdb.add({"dn": f"CN={login},{under}", "objectClass": "user", "sAMAccountName": login, "sn": login, "userAccountControl": "544"})
name = group.partition(",")[0][3:]
samdb.add({"dn": group, "objectClass": "group", "sAMAccountName": name, "member": [f"CN={login},{under}" for login in logins]})
samdb.transaction_commit()
"""
WRITE_BY_HAND = """
samdb.modify_ldif(sys.argv[2], controls=["show_deleted:1", "sd_flags:1:4"])
"""
SHOW_DELETED = """\
dn: CN=Deleted Objects,{suffix}
changetype: modify
replace: nTSecurityDescriptor
nTSecurityDescriptor: O:SYG:SYD:PAI(A;;RPWPCCDCLCRCWOWDSDSW;;;SY)(A;;RPLC;;;BA)(A;;RPLC;;;{sid})
"""


class DomainPeople(LdapServer):
    """Who is in a domain; `smb_conf` and `folder` are those of the controller."""

    suffix, login_attribute = SUFFIX, "sAMAccountName"
    folder: Path
    smb_conf: Path

    def subject(self, login: str) -> str:
        """A person's objectGUID, as it is usually written."""
        return str(uuid.UUID(bytes_le=self.raw(login, "objectGUID")[0]))

    def sid(self, login: str) -> str:
        """A person's objectSid, S-1-5-21-…"""
        raw = self.raw(login, "objectSid")[0]
        parts = [int.from_bytes(raw[at : at + 4], "little") for at in range(8, len(raw), 4)]
        return "-".join(map(str, ("S", raw[0], int.from_bytes(raw[2:8], "big"), *parts)))

    def add_person(
        self,
        login: str,
        *,
        under: str = PEOPLE,
        cn: str | None = None,
        password: str | None = PASSWORD,
        is_old: bool = False,
        **attributes: Any,
    ) -> str:
        """A user who may sign in; the DN. Attributes by their LDAP names. `is_old`: the password was set a week ago (0.9 s more), else just now.

        `password` None: disabled, without one.
        """
        dn = f"CN={escape_rdn(cn or login)},{under}"
        values = {
            "sAMAccountName": login,
            "userPrincipalName": f"{login}@{DNS_DOMAIN}",
            "userAccountControl": str(NORMAL | DISABLED),
            "sn": login,
            **attributes,
        }
        self._write(lambda administrator: administrator.add(dn, ["user"], values))
        if password is not None:
            self.modify(dn, {"unicodePwd": f'"{password}"'.encode("utf-16-le")})
            self.modify(dn, {"userAccountControl": str(NORMAL)})
            if is_old:
                self.set_password_age(WEEK, dn)
        return dn

    def add_people(self, logins: Sequence[str], group: str, *, under: str = PEOPLE) -> None:
        """Many at once, in one transaction of the database itself, and a group of them all. They have no password, and are not disabled."""
        self._by_hand(ADD_BY_HAND, under, f"CN={group},{GROUPS}", *logins)

    def add_service(self, login: str, *names: str) -> str:
        """An account with AES keys, and service principal names such as HTTP/idp.ehpad.test."""
        dn = self.add_person(login, under=SERVICES, password=None, **{"msDS-SupportedEncryptionTypes": "24"})
        if names:
            self.modify(dn, {"servicePrincipalName": list(names)})
        self.modify(dn, {"unicodePwd": f'"{SERVICE_PASSWORD}"'.encode("utf-16-le")})
        self.modify(dn, {"userAccountControl": str(NORMAL)})
        return dn

    def add_group(self, name: str, *members: str, under: str = GROUPS) -> str:
        """A global security group; `members` are DNs."""
        dn = f"CN={escape_rdn(name)},{under}"
        values: dict[str, Any] = {"sAMAccountName": name}
        if members:
            values["member"] = list(members)
        self._write(lambda administrator: administrator.add(dn, ["group"], values))
        return dn

    def add_unit(self, dn: str) -> None:
        """An organizational unit."""
        self._write(lambda administrator: administrator.add(dn, ["organizationalUnit"], {}))

    def join(self, group: str, dn: str) -> None:
        """Put an entry into a group, by the group's name."""
        self._write(lambda administrator: administrator.modify(self.dn(group), {"member": [(ldap3.MODIFY_ADD, [dn])]}))

    def leave(self, group: str, dn: str) -> None:
        """Take an entry out of a group."""
        self._write(lambda administrator: administrator.modify(self.dn(group), {"member": [(ldap3.MODIFY_DELETE, [dn])]}))

    def disable(self, login: str) -> None:
        """As an administrator does."""
        self.modify(self.dn(login), {"userAccountControl": str(NORMAL | DISABLED)})

    def enable(self, login: str) -> None:
        """The opposite."""
        self.modify(self.dn(login), {"userAccountControl": str(NORMAL)})

    def lock(self, login: str) -> None:
        """Wrong passwords until the domain locks (LOCKOUT.threshold of them, which this sets to 3)."""
        self.set_policy(lockoutThreshold="3")
        for _ in range(3):
            assert not self.can_bind(self.dn(login), "wrong-Password-0")

    def unlock(self, login: str) -> None:
        """As the help desk does."""
        self.modify(self.dn(login), {"lockoutTime": "0"})

    def must_change(self, login: str) -> None:
        """User must change password at next logon."""
        self.modify(self.dn(login), {"pwdLastSet": "0"})

    def expire_account(self, login: str, at: datetime | None = None) -> None:
        """The account ends at an instant (None: yesterday)."""
        self.modify(self.dn(login), {"accountExpires": str(filetime(at or datetime.now(UTC) - timedelta(days=1)))})

    def expire_password(self, login: str) -> None:
        """The password is older than the domain allows (42 days)."""
        self.set_password_age(timedelta(days=400), self.dn(login))

    def set_password(self, login: str, password: str) -> None:
        """As the help desk does; pwdLastSet is now."""
        self.modify(self.dn(login), {"unicodePwd": f'"{password}"'.encode("utf-16-le")})

    def set_password_age(self, age: timedelta, *dns: str) -> None:
        """As if the passwords had been set so long ago (LDAP takes only 0 and -1: done on the database itself, 0.9 s)."""
        value = str(filetime(datetime.now(UTC) - age))
        self._by_hand(CHANGE_BY_HAND, value, *dns)

    def set_policy(self, **values: str) -> None:
        """Change the domain's policy, for instance lockoutThreshold="3", minPwdAge="0", lockOutObservationWindow=str(-30 * 60 * 10**7)."""
        self.modify(SUFFIX, values)

    def delegate(self, login: str, *what: str, over: str = PEOPLE) -> None:
        """Let an account act on the people of a unit: keys of DELEGATED (0.7 s)."""
        sid = self.sid(login)
        entries = "".join(f"(OA;CIIO;{rights};{on};{USER_CLASS};{sid})" for rights, on in (DELEGATED[name] for name in what))
        self.tool("dsacl", "set", f"--objectdn={over}", f"--sddl={entries}")

    def show_deleted(self, login: str) -> None:
        """Let an account see who was deleted, as the guide says (docs/connect-active-directory.md)."""
        self._by_hand(WRITE_BY_HAND, SHOW_DELETED.format(suffix=SUFFIX, sid=self.sid(login)))

    def export_keytab(self, path: Path, principal: str) -> Path:
        """The keys of a principal (0.7 s)."""
        self.tool("domain", "exportkeytab", str(path), f"--principal={principal}")
        return path

    def tool(self, *arguments: str) -> str:
        """samba-tool on this controller's own database; what it printed."""
        database = ["-H", str(self.folder / "private" / "sam.ldb")] if "exportkeytab" not in arguments else []
        command = [program("samba-tool", "samba"), *arguments, *database, "-s", str(self.smb_conf)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _by_hand(self, script: str, *arguments: str) -> None:
        command = [SYSTEM_PYTHON, "-c", OPEN_BY_HAND + script, str(self.smb_conf), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr


def filetime(instant: datetime) -> int:
    """An instant as Active Directory writes it: tenths of microseconds since 1601."""
    return int((instant - EPOCH) / timedelta(microseconds=1)) * 10
