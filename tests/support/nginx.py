"""A real nginx in front of several servers, set up as docs/run-on-several-hosts.md says: in turn, no stickiness, only what is safe asked again."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.support.processes import answers, program, running

CONFIGURATION = Template("""
daemon off;
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/error.log warn;
events { worker_connections 512; }
http {
    log_format asked '$$request_method $$uri $$status $$upstream_addr';
    access_log $folder/access.log asked;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
$proxy
    server {
        listen 127.0.0.1:$port;
        location / { proxy_pass http://vestibule; }
    }
}
""")
# This part is in the documentation too, word for word but the addresses (tests/faults/test_many_servers.py compares them).
PROXY = """
    upstream vestibule {
{servers}
    }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header Forwarded "";
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_connect_timeout 1s;
    proxy_read_timeout 30s;
    proxy_next_upstream error timeout;
    proxy_next_upstream_tries 3;
    proxy_next_upstream_timeout 10s;
"""
# The other usual way: what the client sent is kept, and the true peer appended. `bind` is the address that requests go on from.
APPENDING = (
    PROXY.replace("$remote_addr", "$proxy_add_x_forwarded_for").replace('    proxy_set_header Forwarded "";\n', "")
    + "    proxy_bind {bind};\n"
)
LINE = re.compile(r"(?P<method>[A-Z]+) (?P<path>\S+) (?P<status>\d{3}) (?P<servers>.*)")


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx."""

    url: str
    folder: Path

    def asked(self) -> "tuple[Counter[str], Counter[int]]":
        """How many requests each server was given (`host:port`), and how many were answered with each status."""
        servers: Counter[str] = Counter()
        statuses: Counter[int] = Counter()
        for line in (self.folder / "access.log").read_text(encoding="utf-8").splitlines():
            if (found := LINE.fullmatch(line)) is not None:
                statuses[int(found["status"])] += 1
                servers.update(found["servers"].split(", "))
        return servers, statuses

    def refused(self) -> "Counter[str]":
        """What was answered with a server's error, as `POST /token 502`; ids in paths left out."""
        found: Counter[str] = Counter()
        for line in (self.folder / "access.log").read_text(encoding="utf-8").splitlines():
            if (match := LINE.fullmatch(line)) is not None and match["status"].startswith("5"):
                found[f"{match['method']} /{match['path'].split('/')[1]} {match['status']}"] += 1
        return found


@contextmanager
def nginx_before(folder: Path, port: int, servers: Sequence[str], *, ready: str, proxy: str = PROXY) -> Iterator[Nginx]:
    """nginx on a loopback port before `servers` (host:port), once it answers the path `ready`; `proxy` is how it passes requests on."""
    folder.mkdir(parents=True)
    lines = "\n".join(f"        server {server} max_fails=1 fail_timeout=2s;" for server in servers)
    path = folder / "nginx.conf"
    path.write_text(CONFIGURATION.substitute(folder=folder, port=port, proxy=proxy.replace("{servers}", lines)), encoding="utf-8")
    command = [program("nginx", "nginx-light"), "-c", str(path), "-p", str(folder), "-e", str(folder / "error.log")]
    url = f"http://localhost:{port}"
    with running(command, log=folder / "output.log", ready=lambda: answers(f"{url}{ready}")):
        yield Nginx(url, folder)
