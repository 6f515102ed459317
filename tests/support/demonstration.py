"""`python -m demo` as a subprocess: started, announced, and stopped as Ctrl-C does."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from demo.telephone import Telephone
from tests.support.processes import free_port, stop, wait_until

REPOSITORY = Path(__file__).parents[2]
STARTED = "Ctrl-C"
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A running demonstration. `output` is what its terminal shows."""

    issuer: str
    app_url: str
    folder: Path
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def config_path(self) -> Path:
        """Its configuration."""
        return self.folder / "vestibule.yaml"

    def output(self) -> str:
        """What was printed so far."""
        return self.log.read_text(encoding="utf-8")

    def codes(self, at: datetime | None = None) -> dict[str, str]:
        """What the authenticator application of the invented telephone shows, now or at another time: digits by username, or by name."""
        shown = Telephone(self.folder).codes(at or datetime.now(UTC))
        return {one.account or one.name: one.digits for one in shown}

    def papers(self) -> dict[str, tuple[str, ...]]:
        """The recovery codes on paper, by username."""
        return {one.account: one.codes for one in Telephone(self.folder).papers()}


@contextmanager
def demonstration(folder: Path, *, python: str, ports: tuple[int, int] | None = None) -> Iterator[Demonstration]:
    """The demonstration with its data in `folder`, for the length of the block."""
    port, app_port = ports or (free_port(), free_port())
    log = folder / "terminal.log"
    data = folder / "data"
    command = [python, "-m", "demo", "--port", str(port), "--app-port", str(app_port), "--folder", str(data)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY, start_new_session=True
        )
    try:
        wait_until(lambda: STARTED in log.read_text(encoding="utf-8"), seconds=SECONDS, process=process, log=log)
        yield Demonstration(f"http://localhost:{port}", f"http://localhost:{app_port}", data, log, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                stop(process)
