"""Where the time goes: a workload driven against the WSGI application in this process, under cProfile.

Same flows as the load generator's, without sockets: the web server is not in the profile, and cProfile makes small
Python functions look dearer than they are. Shares, not durations, are what to read. How the application is opened
is bench.vestibule's.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bench.http import Response
from bench.load import Flow

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_PACKAGES = {
    "flask": "flask, werkzeug, jinja",
    "werkzeug": "flask, werkzeug, jinja",
    "jinja2": "flask, werkzeug, jinja",
    "markupsafe": "flask, werkzeug, jinja",
    "flask_wtf": "flask, werkzeug, jinja",
    "wtforms": "flask, werkzeug, jinja",
    "itsdangerous": "flask, werkzeug, jinja",
    "joserfc": "joserfc, cryptography",
    "cryptography": "joserfc, cryptography",
    "sqlalchemy": "sqlalchemy",
    "sqlite3": "sqlite",
    "authlib": "authlib",
    "pydantic": "pydantic",
    "structlog": "structlog",
    "argon2": "argon2",
    "_cffi_backend": "argon2",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """One function: its layer, its name, its own share of the time (0 to 1) and its calls for each flow."""

    layer: str
    function: str
    share: float
    calls_per_flow: float


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of one workload: microseconds a flow under cProfile, the layers' shares, the dearest functions."""

    workload: str
    alg: str
    flows: int
    microseconds_per_flow: float
    layers: dict[str, float]
    functions: tuple[Spent, ...]

    def as_json(self) -> dict[str, Any]:
        """This profile as it is kept in the result file."""
        return asdict(self)


def call(application: Application, request: bytes) -> Response:
    """Give the bytes of one request to a WSGI application (PEP 3333) and read its response."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    method, target, _ = lines[0].split(" ")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    host, _, port = environ["HTTP_HOST"].partition(":")
    environ.update(SERVER_NAME=host, SERVER_PORT=port or "80")
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> None:
        started[:] = [status, headers]

    chunks = application(environ, start_response)
    answer = b"".join(chunks)
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
    status, headers = started
    raw = "\r\n".join([f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)])
    return Response(int(status[:3]), raw.encode("latin-1"), answer)


def run_flow(application: Application, flow: Flow) -> None:
    """One flow, in this process. Raises FlowError as the flow does."""
    request = next(flow)
    while True:
        try:
            request = flow.send(call(application, request))
        except StopIteration:
            return


def profile(application: Application, make_flow: Callable[[], Flow], *, workload: str, alg: str, flows: int, most: int = 30) -> Profile:
    """Run a tenth of `flows` to warm up and then `flows` of them under cProfile; keep the `most` dearest functions."""
    for _ in range(max(3, flows // 10)):
        run_flow(application, make_flow())
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(flows):
        run_flow(application, make_flow())
    profiler.disable()
    return _digest(pstats.Stats(profiler), workload, alg, flows, most)


def _digest(statistics: pstats.Stats, workload: str, alg: str, flows: int, most: int) -> Profile:
    table: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = statistics.stats  # type: ignore[attr-defined]
    spent = []
    layers: dict[str, float] = {}
    total = 0.0
    for (filename, line, name), (_, calls, own, _, _) in table.items():
        layer, place = where(filename, name)
        if layer == "bench":
            continue
        total += own
        layers[layer] = layers.get(layer, 0.0) + own
        shown = f"{place}:{name}" if line else _ADDRESS.sub("", name)
        spent.append((own, Spent(layer, shown, own, calls / flows)))
    spent.sort(key=lambda pair: -pair[0])
    return Profile(
        workload=workload,
        alg=alg,
        flows=flows,
        microseconds_per_flow=total / flows * 1e6,
        layers={name: own / total for name, own in sorted(layers.items(), key=lambda pair: -pair[1])},
        functions=tuple(Spent(s.layer, s.function, own / total, s.calls_per_flow) for own, s in spent[:most]),
    )


def where(filename: str, name: str) -> tuple[str, str]:
    """The layer a function belongs to and its module's path inside its package, never a path of the machine."""
    parts = filename.replace("\\", "/").split("/")
    if filename == "~":
        found = next((layer for package, layer in _PACKAGES.items() if package in name.lower()), None)
        return found or "python", "built-in"
    if "site-packages" in parts:
        inside = parts[parts.index("site-packages") + 1 :]
        return _PACKAGES.get(inside[0].removesuffix(".py"), inside[0].removesuffix(".py")), "/".join(inside)
    for index, part in enumerate(parts):
        if part in ("idp", "connectors", "policies", "bench") and index + 1 < len(parts):
            layer = ".".join(part for part in parts[index : index + 2] if not part.endswith(".py"))
            return ("bench" if part == "bench" else _with_module(layer, parts[index:])), "/".join(parts[index:])
    return "python", parts[-1]


def _with_module(layer: str, inside: list[str]) -> str:
    return layer if len(inside) > 2 else f"{inside[0]}.{inside[1].removesuffix('.py')}"
