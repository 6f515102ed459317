"""LemonLDAP::NG as a peer: Debian's packages in a private folder, nginx in front of its portal in one uWSGI process.

On one core that was faster than FastCGI, with one process or with the seven that are its default. Sessions, cache and
configuration are files as the package ships them. People are in SQLite, read by its DBI backend, which leaves hashing to the
database; SQLite has no function for it, so the password is compared as it is. Access tokens are JWTs.
One-time tokens are sessions too (tokenUseGlobalStorage): in the local cache a token's name is the second and 16 random bits,
so two sign-ins of one second can meet in the same one, which would end a run of the bench.
This version signs with RSA only and never rotates a refresh token: ES256 and W2 are left out.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench import processes
from bench.subject import Client, Endpoints, PreparationError, Subject

FOLDER = Path(__file__).resolve().parent / "lemonldap_ng"
NAME = "LemonLDAP::NG"
ALGORITHMS = ("RS256",)
WORKLOADS = ("W1", "W3", "W4", "W5", "W6", "W7")
DISCOVERY = "/.well-known/openid-configuration"
SERVER = Path("/usr/share/lemonldap-ng/llng-server/llng-server.psgi")
PSGI_PLUGIN = Path("/usr/lib/uwsgi/plugins/psgi_plugin.so")
# Those after uwsgi-plugin-psgi are not required by the first one, and its portal does not start without them.
PACKAGES = (
    "liblemonldap-ng-portal-perl",
    "libdbd-sqlite3-perl",
    "nginx-light",
    "uwsgi-core",
    "uwsgi-plugin-psgi",
    "libcrypt-openssl-bignum-perl",
    "libcrypt-openssl-rsa-perl",
    "libcrypt-openssl-x509-perl",
    "libgd-securityimage-perl",
    "libimage-magick-perl",
    "libio-string-perl",
    "libstring-random-perl",
)
# Loading these shows whether all of them are there.
MODULES = "DBD::SQLite IO::String Lemonldap::NG::Portal::Captcha::SecurityImage Lemonldap::NG::Portal::Issuer::OpenIDConnect"
# Debian keeps nginx where only an administrator's PATH looks.
PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin"
RELYING_PARTY = "bench"


def prepare() -> None:
    """What the peer needs, all of it Debian's. Raises PreparationError."""
    programs = all(shutil.which(name, path=PATHS) for name in ("nginx", "uwsgi-core", "perl"))
    if not programs or not SERVER.exists() or not PSGI_PLUGIN.exists():
        raise PreparationError(f"{NAME} is not installed (Debian packages {', '.join(PACKAGES)})")
    loaded = _perl("".join(f"use {module}; " for module in MODULES.split()))
    if loaded.returncode != 0:
        raise PreparationError(f"{NAME} does not load (Debian packages {', '.join(PACKAGES)}):\n{loaded.stderr[-1000:]}")


def version() -> str:
    """The versions of the portal and of the Perl that runs it."""
    return _perl("use Lemonldap::NG::Portal; print $Lemonldap::NG::Portal::VERSION, ', Perl ', substr($^V, 1)").stdout


def start(alg: str, folder: Path, people: int) -> Subject:
    """A running peer that signs with `alg`, its state in `folder`. Raises PreparationError or StartError."""
    if alg not in ALGORITHMS:
        raise PreparationError(f"{NAME} does not sign with {alg} here")
    port, log = processes.free_port(), folder / "peer.log"
    client = Client("bench", secrets.token_urlsafe(32), "http://127.0.0.1:9/callback")
    identifiers = tuple(f"personne{number}" for number in range(people))
    password = "trois tasses de tilleul"
    for name in ("conf", "cache", "notifications", "sessions/lock", "psessions/lock"):
        (folder / name).mkdir(parents=True)
    _write_people(folder / "people.db", identifiers, password)
    (folder / "conf" / "lmConf-1.json").write_text(json.dumps(_configuration(folder, port, alg, client)))
    # Started as root, nginx would give its worker to a user who may not enter the folder.
    names = {"FOLDER": str(folder), "PORT": str(port), "USER": "user root;" if os.geteuid() == 0 else ""}
    for name in ("nginx.conf", "lemonldap-ng.ini"):
        _fill(FOLDER / name, folder / name, names)
    environment = {"LLNG_DEFAULTCONFFILE": str(folder / "lemonldap-ng.ini"), "PATH": PATHS}
    # Without the last option it writes a trace of every exception, those that are caught as well.
    portal = ["uwsgi-core", "--plugins", "psgi", "--psgi", str(SERVER), "--socket", str(folder / "llng.sock"), "--processes", "1"]
    portal += ["--master", "--die-on-term", "--disable-logging", "--perl-no-die-catch"]
    proxy = ["nginx", "-c", str(folder / "nginx.conf"), "-e", "stderr"]

    def start_both() -> tuple[subprocess.Popen[bytes], ...]:
        return tuple(processes.spawn(command, log=log, folder=folder, environment=environment) for command in (proxy, portal))

    server, document, cold_start_s = processes.start_timed(start_both, port, DISCOVERY, log)
    return Subject(
        name=NAME,
        alg=alg,
        store="files, written without fsync",
        password_hash="none (kept in clear)",
        version=version(),
        server=server,
        endpoints=Endpoints.read(document, DISCOVERY),
        client=client,
        identifiers=identifiers,
        password=password,
        is_ours=False,
        client_credentials={"scope": "read"},
        cold_start_s=cold_start_s,
        workloads=WORKLOADS,
    )


def _perl(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["perl", "-e", program], capture_output=True, text=True, check=False)


def _fill(source: Path, target: Path, names: dict[str, str]) -> None:
    text = source.read_text(encoding="utf-8")
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    target.write_text(text, encoding="utf-8")


def _write_people(path: Path, identifiers: tuple[str, ...], password: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE people (uid TEXT PRIMARY KEY, password TEXT NOT NULL, cn TEXT NOT NULL, mail TEXT NOT NULL)")
        rows = [(identifier, password, identifier.title(), f"{identifier}@example.org") for identifier in identifiers]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?)", rows)
    connection.close()


def _configuration(folder: Path, port: int, alg: str, client: Client) -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    configuration: dict[str, Any] = json.loads((FOLDER / "lmConf-1.json").read_text(encoding="utf-8"))
    sessions, persistent = folder / "sessions", folder / "psessions"
    options = {
        "ClientID": client.client_id,
        "ClientSecret": client.client_secret,
        "RedirectUris": client.redirect_uri,
        "IDTokenSignAlg": alg,
        "AccessTokenJWT": 1,
        "AccessTokenSignAlg": alg,
        "AllowClientCredentialsGrant": 1,
        "BypassConsent": 1,
        "Public": 0,
        "RequirePKCE": 1,
    }
    return configuration | {
        "portal": f"http://127.0.0.1:{port}/",
        "key": secrets.token_urlsafe(24),
        "dbiAuthChain": f"dbi:SQLite:dbname={folder / 'people.db'}",
        "globalStorageOptions": {
            "Directory": str(sessions),
            "LockDirectory": str(sessions / "lock"),
            "generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256",
        },
        "persistentStorageOptions": {"Directory": str(persistent), "LockDirectory": str(persistent / "lock")},
        "localSessionStorageOptions": {
            "namespace": "lemonldap-ng-sessions",
            "default_expires_in": 600,
            "directory_umask": "007",
            "cache_root": str(folder / "cache"),
            "cache_depth": 3,
        },
        "notificationStorageOptions": {"dirName": str(folder / "notifications")},
        "oidcServicePrivateKeySig": private.decode(),
        "oidcServicePublicKeySig": public.decode(),
        "oidcServiceKeyIdSig": secrets.token_hex(8),
        "oidcRPMetaDataOptions": {RELYING_PARTY: {f"oidcRPMetaDataOptions{name}": value for name, value in options.items()}},
        "oidcRPMetaDataExportedVars": {RELYING_PARTY: {"name": "cn", "preferred_username": "uid", "email": "mail"}},
    }
