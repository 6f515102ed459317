"""What a running server writes at its most talkative, Authlib's and every other library's debug lines included: no secret.

The server is a process of its own on a real port, its output a file; the journey is walked from the outside.
"""

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import MakeWorld
from tests.support.browser import Browser
from tests.support.journey import Journey, found_in
from tests.support.relying_party import RelyingParty

# Every logger at debug, those the program itself quietens too.
SERVER = """
import logging, os, sys
import time_machine
from datetime import datetime
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from idp.app import from_environment

# The world's instant, and no other: its people and keys are of that day.
time_machine.travel(datetime.fromisoformat(sys.argv[2]), tick=False).start()
application = from_environment()
for name in [None, *logging.root.manager.loggerDict]:
    logging.getLogger(name).setLevel(logging.DEBUG)


class Handler(WSGIRequestHandler):
    def log_message(self, format, *args):
        return


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


with make_server("127.0.0.1", 0, application, server_class=Server, handler_class=Handler) as server:
    with open(sys.argv[1] + ".part", "w") as file:
        file.write(str(server.server_address[1]))
    os.rename(sys.argv[1] + ".part", sys.argv[1])
    server.serve_forever(poll_interval=0.05)
"""


@dataclass(frozen=True, slots=True)
class Walked:
    """A journey's secrets and what the server wrote meanwhile."""

    secrets: Mapping[str, str]
    output: bytes


@pytest.fixture
def walked(make_world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Walked:
    """Start the server, walk, stop it."""
    issuer = "http://127.0.0.1"
    world = make_world(issuer=issuer, log_level="debug")
    monkeypatch.setenv("VESTIBULE_CONFIG", str(world.config_path))
    port_file, log = tmp_path / "port", tmp_path / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-c", SERVER, str(port_file), world.clock.now().isoformat()]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 60
        while not port_file.exists():
            assert server.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.05)
        address = f"http://127.0.0.1:{port_file.read_text(encoding='utf-8')}"
        with httpx.Client(base_url=address, timeout=60) as client:
            client.event_hooks["request"].append(lambda request: _to(request, address))
            journey = Journey(
                lambda: Browser(client, issuer),
                lambda key: RelyingParty(world.registered[key], client, issuer, clock=world.clock),
            )
            secrets = dict(journey.walk())
    finally:
        server.terminate()
        server.wait(60)
    secrets |= {f"secret of {name}": client.secret for name, client in world.registered.items() if client.secret}
    secrets["master key"] = (world.folder / "master.key").read_text(encoding="utf-8").strip()
    return Walked(secrets, log.read_bytes())


def _to(request: httpx.Request, address: str) -> None:
    # The issuer has no port of its own: requests for it go where the server listens.
    request.url = httpx.URL(address).join(request.url.raw_path.decode("ascii"))


def test_no_secret_is_written_at_the_most_talkative_level(walked: Walked) -> None:
    assert b"Validate token request" in walked.output, "Authlib's debug lines are not there: nothing was shown"
    assert found_in(walked.secrets, walked.output) == []


@pytest.mark.parametrize("how", ["message", "argument", "keyword", "exception", "url", "foreign"])
def test_a_secret_is_struck_out_even_when_somebody_logs_it(tmp_path: Path, how: str) -> None:
    token, jwt = "A1b2" * 10 + "xyz", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjbGFpcmUifQ.c2lnbmF0dXJlLW9mLW5vYm9keQ"
    statements = {
        "message": f"log.info('got {token} and {jwt}')",
        "argument": f"log.info('got', value='{token}', other=['{jwt}'], deep={{'a': {{'b': '{token}'}}}})",
        "keyword": f"log.info('got', password='{token[:9]}', client_secret='{token[:12]}', Authorization='{jwt[:14]}')",
        "exception": f"\ntry:\n    raise ValueError('{token} {jwt}')\nexcept ValueError:\n    log.exception('broke')",
        "url": f"log.info('GET /retour?code={token[:20]}&state={token[:16]}')",
        "foreign": f"logging.getLogger('authlib').debug('Issue token %r to %r', {{'access_token': '{jwt}'}}, '{token}')",
    }
    program = "import logging, structlog\nfrom idp.telemetry import configure_logging\nconfigure_logging('debug')\nlog = structlog.get_logger('x')\n"
    run = subprocess.run([sys.executable, "-c", program + statements[how]], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert run.stderr.count("\n") == 1
    for secret in (token, jwt, token[:9], jwt[:14], token[:16]):
        assert secret not in run.stderr
