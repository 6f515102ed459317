"""What a process tree used is all of it, whatever its processes do while they are looked at."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.processes import tree

RESTLESS = "import threading, os\nos.write(1, b'.')\nwhile True: threading.Thread(target=lambda: None).start()"
LOOKS = 2_000


@pytest.fixture
def restless() -> Iterator[int]:
    """A process whose threads begin and end all the time."""
    with subprocess.Popen([sys.executable, "-c", RESTLESS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"."
        yield process.pid
        process.kill()


def test_process_is_counted_when_a_thread_of_it_ends_meanwhile(restless: int) -> None:
    assert all(set(tree([os.getpid()])) >= {os.getpid(), restless} for _ in range(LOOKS))
