"""A real mail server (Debian's python3-aiosmtpd) in a process of its own: STARTTLS or TLS, a login, a Maildir. smtp_server.py is what it runs."""

import email
import email.policy
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.support.certificates import PrivateAuthority, ServerCertificate
from tests.support.processes import free_port, freeze, needed_file, running, wait_until

SCRIPT = Path(__file__).with_name("smtp_server.py")
LIBRARY = Path("/usr/lib/python3/dist-packages/aiosmtpd")
PYTHON = "/usr/bin/python3"  # the one that Debian's library is for
USER, PASSWORD = "vestibule", "Un-mot-de-passe-de-relais-77"


@dataclass(slots=True)
class SmtpServer:
    """One server. `settings()` is the `mail` section for it."""

    folder: Path
    authority: PrivateAuthority
    mode: str = "starttls"
    certificate: ServerCertificate | None = None
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Start; the Maildir is kept."""
        needed_file(LIBRARY, "python3-aiosmtpd")
        self.port = self.port or free_port()
        certificate = self.certificate or self.authority.sign("mail", names=("localhost",))
        # Isolated: a module beside the script must not stand for the library's of the same name.
        command = [PYTHON, "-I", str(SCRIPT), str(self.port), str(self.maildir), self.mode]
        if self.mode != "clear":
            command += [str(certificate.certificate), str(certificate.key), USER, PASSWORD]
        self.process = self._stack.enter_context(running(command, log=self.folder / "smtp.log", ready=self.listens))

    @property
    def maildir(self) -> Path:
        """Where mail is kept."""
        return self.folder / "maildir"

    def settings(self, **override: Any) -> dict[str, Any]:
        """Settings that work."""
        login = {"username": USER, "password": f"file:{self.folder / 'smtp.password'}"}
        (self.folder / "smtp.password").write_text(PASSWORD, encoding="utf-8")
        return {
            "host": "localhost",
            "port": self.port,
            "security": {"clear": "none"}.get(self.mode, self.mode),
            "ca_file": str(self.authority.ca_file),
            "sender": "connexion@vestibule.example",
            "timeout": "10s",
            **(login if self.mode != "clear" else {}),
            **override,
        }

    def mails(self) -> list[EmailMessage]:
        """Everything that was taken, oldest first."""
        found = sorted((self.maildir / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in found]  # type: ignore[misc]

    def raw(self) -> list[bytes]:
        """The same, as they came."""
        return [path.read_bytes() for path in (self.maildir / "new").glob("*")]

    def forget(self) -> None:
        """Empty the Maildir."""
        for path in (self.maildir / "new").glob("*"):
            path.unlink()

    def wait(self, count: int, seconds: float = 60.0) -> list[EmailMessage]:
        """Wait for real deliveries (live servers only)."""
        wait_until(lambda: len(self.mails()) >= count, seconds=seconds)
        return self.mails()

    def listens(self) -> bool:
        """Whether it accepts connections."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def hang(self) -> None:
        """Alive and deaf (SIGSTOP)."""
        if self.process is not None:
            freeze(self.process.pid)

    def wake(self) -> None:
        """Go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop; `start` brings it back on the same port."""
        if self.process is not None and self.process.poll() is None:
            self.wake()
        self._stack.close()

    def _signal(self, number: int) -> None:
        if self.process is not None:
            os.kill(self.process.pid, number)


@contextmanager
def smtp_serving(folder: Path, mode: str = "starttls", *, certificate: ServerCertificate | None = None) -> Iterator[SmtpServer]:
    """A server for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = SmtpServer(folder, PrivateAuthority(folder / "authority"), mode, certificate)
    server.start()
    try:
        yield server
    finally:
        server.stop()
