"""A private MIT Kerberos realm: its KDC on a free loopback port, principals, keytabs, and people who have got their tickets.

Whoever needs the realm's configuration takes it from `environment()`; nothing of the machine's own Kerberos is read or written.
"""

import base64
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port, program, stop, wait_until

REALM = "KRB.ANNUAIRE.TEST"
PASSWORD = "Ticket-Glycine-63-Ecureuil"
# A program of its own: where Kerberos reads its settings is one for a whole process.
OFFER = """
import base64, sys, gssapi
name = gssapi.Name(sys.argv[1], gssapi.NameType.kerberos_principal if "/" in sys.argv[1] else gssapi.NameType.hostbased_service)
mechanism = gssapi.OID.from_int_seq(sys.argv[2])
context = gssapi.SecurityContext(name=name, mech=mechanism, usage="initiate")
print(base64.b64encode(context.step()).decode())
"""
SPNEGO, KERBEROS = "1.3.6.1.5.5.2", "1.2.840.113554.1.2.2"
CLIENT = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
 {more}
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 localhost = {realm}
"""
SERVER = """\
[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/kadm5.acl
  max_life = 10h
  supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
 }}
"""


class Kdc:
    """One realm. `service` names the principal of our service, host part included; its keytab is `keytab`."""

    def __init__(self, folder: Path, *, realm: str = REALM, service: str = "HTTP/localhost") -> None:
        self.folder = folder
        self.realm = realm
        self.service = service
        self.keytab = folder / "http.keytab"
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kdc.conf").write_text(SERVER.format(port=self.port, realm=realm, folder=folder))
        self.krb5_conf = self.configuration()
        self._process: subprocess.Popen[bytes] | None = None
        self._run(program("kdb5_util", "krb5-kdc"), "create", "-s", "-r", realm, "-P", "master-password")
        self.administer(f"addprinc -randkey {service}", f"ktadd -k {self.keytab} {service}")

    def configuration(self, name: str = "krb5.conf", **more: str) -> Path:
        """A krb5.conf of the realm; `more` are settings of [libdefaults]."""
        path = self.folder / name
        lines = "\n ".join(f"{key} = {value}" for key, value in more.items())
        path.write_text(CLIENT.format(realm=self.realm, port=self.port, more=lines))
        return path

    def environment(self, cache: Path | None = None) -> dict[str, str]:
        """What a program of this realm runs with; `cache` holds somebody's tickets."""
        found = {"KRB5_CONFIG": str(self.krb5_conf), "KRB5RCACHENAME": f"file2:{self.folder / 'replays'}"}
        return {**found, **({"KRB5CCNAME": f"FILE:{cache}"} if cache else {})}

    def administer(self, *commands: str) -> None:
        """Commands of kadmin."""
        typed = "\n".join((*commands, ""))
        done = self._run(program("kadmin.local", "krb5-admin-server"), "-r", self.realm, typed=typed)
        wrong = [line for line in done.stderr.splitlines() if line.startswith(("add_principal:", "kadmin.local:")) and "while" in line]
        assert not wrong, wrong

    def add_person(self, name: str, password: str = PASSWORD) -> None:
        """Somebody of the realm."""
        self.administer(f"addprinc -pw {password} {name}")

    def give_tickets(self, name: str, password: str = PASSWORD, *, life: str = "8h") -> Path:
        """Somebody opens their session in the morning: the cache that holds their ticket."""
        cache = self.folder / f"{name.replace('/', '-')}-{os.urandom(4).hex()}.tickets"
        return get_tickets(self.environment(cache), f"{name}@{self.realm}", password, life=life)

    def offer(self, cache: Path, *, service: str | None = None, mechanism: str = SPNEGO) -> bytes:
        """What the browser of whoever holds those tickets sends to our service, or to another."""
        return offer(self.environment(cache), service or self.service, mechanism=mechanism)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "kdc.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("krb5kdc", "krb5-kdc"), "-n", "-r", self.realm, "-P", str(self.folder / "kdc.pid")],
                env=self._environment({}),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, seconds=60, process=self._process, log=self.folder / "kdc.log")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            stop(self._process)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, **self.environment(), "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"), **more}

    def _run(self, *command: str, typed: str = "", environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        given = self._environment(environment or {})
        done = subprocess.run(command, input=typed, env=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done


def get_tickets(environment: Mapping[str, str], principal: str, password: str, *, life: str = "8h", options: Sequence[str] = ()) -> Path:
    """Get somebody's first ticket; the cache that the environment names. `options` are kinit's."""
    command = [program("kinit", "krb5-user"), *options, "-l", life, principal]
    given = {**os.environ, **environment}
    done = subprocess.run(command, input=f"{password}\n", env=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return Path(environment["KRB5CCNAME"].removeprefix("FILE:"))


def offer(environment: Mapping[str, str], service: str, *, mechanism: str = SPNEGO) -> bytes:
    """A token for a service (a principal, or HTTP@host), got in that environment."""
    command = [sys.executable, "-c", OFFER, service, mechanism]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return base64.b64decode(done.stdout)


@contextmanager
def kdc_serving(folder: Path, **settings: str) -> Iterator[Kdc]:
    """A realm for the length of the block."""
    made = Kdc(folder, **settings)
    made.start()
    try:
        yield made
    finally:
        made.stop()
