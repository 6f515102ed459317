"""The floors: what the machine's parts cost by themselves, measured in the same run as the systems.

`python -m bench.floors <folder>` prints them as JSON; measure() runs that on the server's core and adds the
two web floors (bench.floor_apps on granian) under the same load generator. Microseconds throughout.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from bench import processes
from bench.http import get
from bench.load import Flow, FlowError, drive
from bench.statistic import median

REPOSITORY = Path(__file__).resolve().parent.parent
# Argon2id at OWASP's second figure: what Vestibule uses for local passwords.
ARGON2 = {"time_cost": 2, "memory_cost": 19456, "parallelism": 1, "hash_len": 32}
CLAIMS: dict[str, object] = {
    "iss": "https://sso.example.org",
    "sub": "5f0c8c2e-6d0a-4d5f-9e2b-3f8f6a1c7d10",
    "aud": "https://sso.example.org",
    "client_id": "bench",
    "exp": 1800000300,
    "iat": 1800000000,
    "jti": "pYv2mB3Qq0m2l4nWc1xUeA",
    "scope": "openid profile email",
}


def time_of(act: Callable[[], object], seconds: float = 0.6) -> dict[str, float]:
    """Median wall time and mean CPU time of one call, in microseconds, over about `seconds`."""
    act()
    walls = []
    cpu_before, began = process_time(), perf_counter()
    while perf_counter() - began < seconds:
        start = perf_counter()
        act()
        walls.append(perf_counter() - start)
    return {"wall_us": median(walls) * 1e6, "cpu_us": (process_time() - cpu_before) / len(walls) * 1e6}


def _signatures() -> dict[str, dict[str, float]]:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    message = b"m" * 300
    pkcs1, sha256, ecdsa = padding.PKCS1v15(), hashes.SHA256(), ec.ECDSA(hashes.SHA256())
    rsa_signature = rsa_key.sign(message, pkcs1, sha256)
    ec_signature = ec_key.sign(message, ecdsa)
    rsa_public, ec_public = rsa_key.public_key(), ec_key.public_key()
    rsa_jwk, ec_jwk = RSAKey.import_key(rsa_key), ECKey.import_key(ec_key)
    rs256, es256 = {"alg": "RS256", "kid": "1"}, {"alg": "ES256", "kid": "1"}
    rsa_token, ec_token = jwt.encode(rs256, CLAIMS, rsa_jwk), jwt.encode(es256, CLAIMS, ec_jwk)
    return {
        "rs256_sign": time_of(lambda: rsa_key.sign(message, pkcs1, sha256)),
        "es256_sign": time_of(lambda: ec_key.sign(message, ecdsa)),
        "rs256_verify": time_of(lambda: rsa_public.verify(rsa_signature, message, pkcs1, sha256)),
        "es256_verify": time_of(lambda: ec_public.verify(ec_signature, message, ecdsa)),
        "jwt_sign_rs256": time_of(lambda: jwt.encode(rs256, CLAIMS, rsa_jwk)),
        "jwt_sign_es256": time_of(lambda: jwt.encode(es256, CLAIMS, ec_jwk)),
        "jwt_verify_rs256": time_of(lambda: jwt.decode(rsa_token, rsa_jwk)),
        "jwt_verify_es256": time_of(lambda: jwt.decode(ec_token, ec_jwk, algorithms=["ES256"])),
    }


def _sqlite(path: Path, synchronous: str) -> dict[str, dict[str, float]]:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={synchronous}")
    database.execute("CREATE TABLE token (digest TEXT PRIMARY KEY, grant_id TEXT, used_at INTEGER)")
    database.execute("INSERT INTO token VALUES ('0', 'g', NULL)")
    last = 0

    def transaction() -> None:
        nonlocal last
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO token VALUES (?, 'g', NULL)", (str(last + 1),))
        changed = database.execute("UPDATE token SET used_at = 1 WHERE digest = ? AND used_at IS NULL", (str(last),))
        if changed.rowcount != 1:
            raise RuntimeError("the conditional update changed nothing")
        database.execute("COMMIT")
        last += 1

    figures = {
        "transaction": time_of(transaction),
        "select": time_of(lambda: database.execute("SELECT * FROM token WHERE digest = '0'").fetchone()),
    }
    database.close()
    return figures


def measure_parts(folder: Path) -> dict[str, dict[str, float]]:
    """Every floor that needs no server. `folder` is where the SQLite files are written."""
    normal = _sqlite(folder / "normal.db", "NORMAL")
    full = _sqlite(folder / "full.db", "FULL")
    return {
        **_signatures(),
        "argon2id": time_of(lambda: hash_secret_raw(b"password", b"0123456789abcdef", type=Type.ID, **ARGON2)),
        "sqlite_transaction_normal": normal["transaction"],
        "sqlite_transaction_full": full["transaction"],
        "sqlite_select": normal["select"],
    }


def measure(folder: Path, seconds: float, connections: int) -> dict[str, dict[str, float]]:
    """All floors: the parts in a process on the server's core, then the two web floors under load."""
    command = [sys.executable, "-m", "bench.floors", str(folder)]
    log = folder / "floors.log"
    process = processes.spawn(command, log=log, folder=REPOSITORY)
    if process.wait(120) != 0:
        raise processes.StartError(log.read_text(errors="replace")[-3000:])
    figures: dict[str, dict[str, float]] = json.loads(log.read_text().splitlines()[-1])
    for name, app in (("bare_wsgi", "bare"), ("flask_hello", "hello")):
        figures[name] = _measure_web(app, folder, seconds, connections)
    return figures


def granian_command(port: int, target: str, *extra: str) -> list[str]:
    """granian with one worker, as the floors and the profile of a hello use it."""
    options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", "8", "--no-ws", "--host", "127.0.0.1"]
    return [sys.executable, "-m", "granian", *options, "--port", str(port), *extra, target]


def _measure_web(app: str, folder: Path, seconds: float, connections: int) -> dict[str, float]:
    port, log = processes.free_port(), folder / f"{app}.log"
    command = granian_command(port, f"bench.floor_apps:{app}")

    def start() -> tuple[subprocess.Popen[bytes], ...]:
        return (processes.spawn(command, log=log, folder=REPOSITORY),)

    request = get(f"127.0.0.1:{port}", "/")

    def ask() -> Flow:
        response = yield request
        if response.status != 200:
            raise FlowError(f"status {response.status}")

    server, _, cold_start_s = processes.start_timed(start, port, "/", log)
    try:
        address = ("127.0.0.1", port)
        drive(address, [ask] * connections, 0.3)
        before = server.cpu_seconds()
        run = drive(address, [ask] * connections, seconds)
        cpu = server.cpu_seconds() - before
    finally:
        server.stop()
    return {
        "wall_us": run.seconds / len(run.latencies) * 1e6,
        "cpu_us": cpu / len(run.latencies) * 1e6,
        "per_second": len(run.latencies) / run.seconds,
        "generator_share": run.generator_cpu_seconds / run.seconds,
        "cold_start_s": cold_start_s,
    }


def for_arithmetic(figures: dict[str, dict[str, float]], synchronous: str) -> dict[str, float]:
    """The CPU microseconds that statistic.floor_cpu_ms asks for; `synchronous` is that of the store measured."""
    names = ("flask_hello", "jwt_sign_rs256", "jwt_sign_es256", "jwt_verify_rs256", "jwt_verify_es256", "argon2id")
    return {
        **{name: figures[name]["cpu_us"] for name in (*names, "sqlite_select")},
        "sqlite_transaction": figures[f"sqlite_transaction_{synchronous}"]["cpu_us"],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_parts(Path(sys.argv[1]))) + "\n")
