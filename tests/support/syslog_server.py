"""A real syslog server (Debian's rsyslog) in a folder and on ports of its own, over TCP, TLS or UDP; what it took is read as it understood it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.certificates import PrivateAuthority
from tests.support.processes import free_port, freeze, program, running, wait_until

CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k" {certificates})
module(load="imtcp" StreamDriver.Name="{driver}" StreamDriver.Mode="{mode}" StreamDriver.AuthMode="anon")
module(load="imudp")
input(type="{kind}" address="127.0.0.1" port="{port}")
template(name="whole" type="list") {{ property(name="jsonmesg") constant(value="\\n") }}
action(type="omfile" file="{taken}" template="whole")
"""
CERTIFICATES = 'DefaultNetstreamDriverCAFile="{ca}" DefaultNetstreamDriverCertFile="{certificate}" DefaultNetstreamDriverKeyFile="{key}"'


@dataclass(slots=True)
class SyslogServer:
    """One server. `settings(name)` is the entry of `audit.streams` for it."""

    folder: Path
    transport: str
    authority: PrivateAuthority
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def _taken(self) -> Path:
        return self.folder / "taken.jsonl"

    def start(self) -> None:
        """Start; what was taken before is kept."""
        self.port = self.port or free_port()
        is_tls = self.transport == "tls"
        certificates = ""
        if is_tls:
            signed = self.authority.sign("syslog", names=("localhost",))
            certificates = CERTIFICATES.format(ca=self.authority.ca_file, certificate=signed.certificate, key=signed.key)
        configuration = self.folder / "rsyslog.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                certificates=certificates,
                driver="ossl" if is_tls else "ptcp",
                mode=1 if is_tls else 0,
                kind="imudp" if self.transport == "udp" else "imtcp",
                port=self.port,
                taken=self._taken,
            )
        )
        command = [program("rsyslogd", "rsyslog"), "-n", "-f", str(configuration), "-i", str(self.folder / "pid")]
        log = self.folder / "rsyslogd.log"
        self.process = self._stack.enter_context(running(command, log=log, ready=self._listens))

    def _listens(self) -> bool:
        """Whether its port is taken: asking it would be a message."""
        kind = "udp" if self.transport == "udp" else "tcp"
        listening = Path(f"/proc/net/{kind}").read_text()
        return f"0100007F:{self.port:04X} 00000000:0000 {'07' if kind == 'udp' else '0A'}" in listening

    def stop(self) -> None:
        """Stop; what was sent meanwhile waits at the sender."""
        self._stack.close()
        self.process = None

    def hang(self) -> None:
        """Stop reading without a word (SIGSTOP)."""
        assert self.process is not None
        freeze(self.process.pid)

    def settings(self, name: str, **others: Any) -> dict[str, Any]:
        """The stream that sends to it."""
        found: dict[str, Any] = {"name": name, "type": "syslog", "host": "127.0.0.1", "port": self.port, "transport": self.transport}
        if self.transport == "tls":
            found["ca_file"] = str(self.authority.ca_file)
        return {**found, **others}

    def taken(self, count: int) -> list[dict[str, Any]]:
        """The messages it took, at least `count` of them, as it understood them; `msg` is parsed."""
        wait_until(lambda: len(self._lines()) >= count, seconds=60)
        return [{**line, "msg": json.loads(line["msg"])} for line in map(json.loads, self._lines())]

    def _lines(self) -> list[str]:
        return self._taken.read_text().splitlines() if self._taken.exists() else []


@contextmanager
def syslog_serving(folder: Path, transport: str, authority: PrivateAuthority) -> Iterator[SyslogServer]:
    """A server for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = SyslogServer(folder, transport, authority)
    try:
        server.start()
        yield server
    finally:
        server.stop()
