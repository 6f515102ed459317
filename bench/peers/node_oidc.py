"""node-oidc-provider as a peer: installs the locked packages, starts a private Redis and the server beside it.

Needs npm (any version that Debian ships; a current Node comes with the locked packages) and redis-server.
"""

from __future__ import annotations

import fcntl
import json
import platform
import secrets
import shutil
import subprocess
from pathlib import Path

from bench import processes
from bench.subject import Client, Endpoints, PreparationError, Subject

FOLDER = Path(__file__).resolve().parent / "node_oidc_provider"
NAME = "node-oidc-provider"
DISCOVERY = "/.well-known/openid-configuration"
RESOURCE = "urn:bench:api"


def prepare() -> None:
    """What the peer needs beside its packages, and those. Raises PreparationError."""
    if shutil.which("redis-server") is None:
        raise PreparationError("redis-server is not installed (Debian package redis-server)")
    install()


def install() -> None:
    """Install the packages of package-lock.json, once; others that want the same wait. Raises PreparationError."""
    stamp = FOLDER / "node_modules" / ".package-lock.json"
    with (FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.stat().st_mtime >= (FOLDER / "package-lock.json").stat().st_mtime:
            return
        if shutil.which("npm") is None:
            raise PreparationError("npm is not installed (Debian package npm)")
        done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=FOLDER, capture_output=True, text=True)
        if done.returncode != 0:
            raise PreparationError(f"npm ci failed:\n{done.stderr[-2000:]}")


def binary() -> Path:
    """The Node of the locked packages. Raises PreparationError."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = FOLDER / "node_modules" / f"node-linux-{machine}" / "bin" / "node"
    if not binary.exists():
        raise PreparationError(f"no Node for {machine} in the locked packages")
    return binary


def version() -> str:
    """The versions of the provider and of the Node that runs it."""
    package = json.loads((FOLDER / "node_modules" / "oidc-provider" / "package.json").read_text())
    node = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{package['version']}, Node {node.removeprefix('v')}"


def start(alg: str, folder: Path, people: int) -> Subject:
    """A running peer that signs with `alg`, its Redis in `folder`. Raises PreparationError or StartError."""
    port, log = processes.free_port(), folder / "peer.log"
    socket_path = folder / "redis.sock"
    client = Client("bench", secrets.token_urlsafe(32), "http://127.0.0.1:9/callback")
    identifiers = tuple(f"personne{number}" for number in range(people))
    password = "trois tasses de tilleul"
    settings = {
        "port": port,
        "alg": alg,
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "redirect_uri": client.redirect_uri,
        "resource": RESOURCE,
        "redis_socket": str(socket_path),
        "password": password,
        "accounts": identifiers,
    }
    environment = {"PEER_SETTINGS": json.dumps(settings), "NODE_ENV": "production"}
    redis_command = ["redis-server", "--port", "0", "--unixsocket", str(socket_path)]
    redis_command += ["--save", "", "--appendonly", "no"]
    redis = processes.spawn(redis_command, log=folder / "redis.log", folder=folder)

    def start_both() -> tuple[subprocess.Popen[bytes], ...]:
        return (processes.spawn([str(binary()), "server.mjs"], log=log, folder=FOLDER, environment=environment), redis)

    try:
        server, document, cold_start_s = processes.start_timed(start_both, port, DISCOVERY, log)
    except processes.StartError:
        redis.kill()
        raise
    return Subject(
        name=NAME,
        alg=alg,
        store="Redis on a Unix socket, nothing written to disk",
        password_hash="scrypt N=16384 r=8 p=1",
        version=version(),
        server=server,
        endpoints=Endpoints.read(document, DISCOVERY),
        client=client,
        identifiers=identifiers,
        password=password,
        is_ours=False,
        client_credentials={"resource": RESOURCE, "scope": "read"},
        cold_start_s=cold_start_s,
    )
