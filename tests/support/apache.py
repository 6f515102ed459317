"""Debian's Apache with libapache2-mod-auth-openidc in a private folder, told nothing of the provider but its discovery document."""

import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.processes import free_port, needed_file, program, running

MODULES = Path("/usr/lib/apache2/modules")
LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "alias", "dir", "mime", "include", "auth_openidc")
CONFIGURATION = """
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}/run
PidFile {folder}/run/apache.pid
Mutex file:{folder}/run default
Listen 127.0.0.1:{port}
ErrorLog {folder}/error.log
LogLevel warn auth_openidc:info
DocumentRoot {folder}/pages
TypesConfig /dev/null
AddType text/html .html .shtml
AddOutputFilter INCLUDES .shtml
ServerLimit 1
StartServers 1
ThreadsPerChild 8
MaxRequestWorkers 8
MinSpareThreads 1
MaxSpareThreads 8
{user}

<Directory {folder}/pages>
    Options +Includes
    DirectoryIndex index.shtml index.html
    Require all granted
</Directory>

OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID {client_id}
OIDCClientSecret {client_secret}
OIDCRedirectURI {origin}/soins/retour
OIDCScope "openid profile email establishment"
OIDCPKCEMethod S256
OIDCCryptoPassphrase {passphrase}
OIDCSessionType server-cache
OIDCCacheType file
OIDCCacheDir {folder}/cache
OIDCRemoteUserClaim sub
OIDCPassClaimsAs environment

<Location /soins>
    AuthType openid-connect
    Require valid-user
</Location>
"""
PAGE = """<!doctype html><html lang="fr"><title>Page protégée</title><body><h1>Page protégée</h1>
<p id="user"><!--#echo var="REMOTE_USER" --></p>
<p id="name"><!--#echo var="OIDC_CLAIM_name" --></p>
<p id="email"><!--#echo var="OIDC_CLAIM_email" --></p>
<p id="roles"><!--#echo var="OIDC_CLAIM_roles" --></p>
<p id="issuer"><!--#echo var="OIDC_CLAIM_iss" --></p>
<p id="acr"><!--#echo var="OIDC_CLAIM_acr" --></p>
<p id="amr"><!--#echo var="OIDC_CLAIM_amr" --></p>
<p id="auth-time"><!--#echo var="OIDC_CLAIM_auth_time" --></p>
</body></html>
"""


@dataclass(frozen=True, slots=True)
class Apache:
    """A running Apache; `protected` asks for a sign-in, `public` does not."""

    origin: str
    error_log: Path

    @property
    def protected(self) -> str:
        """The page for those who are signed in."""
        return f"{self.origin}/soins/"

    @property
    def public(self) -> str:
        """The page where a sign-out ends."""
        return f"{self.origin}/au-revoir.html"

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser back; also mod_auth_openidc's own entrance for sign-outs."""
        return f"{self.origin}/soins/retour"

    @property
    def backchannel_logout_uri(self) -> str:
        """Where logout tokens go."""
        return f"{self.redirect_uri}?logout=backchannel"


@contextmanager
def apache_folder() -> Iterator[tuple[Path, Apache]]:
    """A private folder and a free port: known before the start, because the provider must register the addresses."""
    # Not pytest's own folder: Apache's workers run as another user and must be able to walk to it.
    folder = Path(tempfile.mkdtemp(prefix="vestibule-apache-"))
    try:
        yield folder, Apache(f"http://localhost:{free_port()}", folder / "error.log")
    finally:
        shutil.rmtree(folder)


@contextmanager
def serving(folder: Path, apache: Apache, *, issuer: str, client_id: str, client_secret: str) -> Iterator[None]:
    """Apache, for the length of the block."""
    command = program("apache2", "apache2-bin")
    needed_file(MODULES / "mod_auth_openidc.so", "libapache2-mod-auth-openidc")
    for name in ("run", "cache", "pages", "pages/soins"):
        (folder / name).mkdir()
    (folder / "pages" / "soins" / "index.shtml").write_text(PAGE, encoding="utf-8")
    (folder / "pages" / "au-revoir.html").write_text(
        "<!doctype html><html lang='fr'><title>Au revoir</title><h1>Au revoir</h1></html>", encoding="utf-8"
    )
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED)
    settings = CONFIGURATION.format(
        folder=folder,
        port=apache.origin.rsplit(":", 1)[1],
        origin=apache.origin,
        issuer=issuer,
        client_id=client_id,
        client_secret=client_secret,
        passphrase=secrets.token_urlsafe(24),
        user=_own_user(folder),
    )
    (folder / "apache.conf").write_text(f"{modules}\n{settings}", encoding="utf-8")
    with running(
        [command, "-f", str(folder / "apache.conf"), "-DFOREGROUND"],
        log=folder / "output.log",
        ready=lambda: _is_up(apache.public),
        folder=folder,
    ):
        yield


def _own_user(folder: Path) -> str:
    """Apache refuses to serve as root: its workers become www-data, which then needs the folder."""
    if os.geteuid() != 0:
        return ""
    user = pwd.getpwnam("www-data")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    return "User www-data\nGroup www-data"


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
