"""Processes that must not outlive, or be outlived: the worker is started again when it dies, and no child survives its parent.

Owns `WorkSupervisor` (a thread of the serving parent), `end_with_parent` (called by each child), and names by which a process can be known to be
gone. Standard library only, so that it costs nothing at start.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0
STEADY_AFTER_SECONDS = 60.0


def end_with_parent() -> None:
    """Be sent SIGTERM when the thread that started this process ends, even by kill -9 (Linux; elsewhere a no-op)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died between the two calls
        os.kill(os.getpid(), signal.SIGTERM)


def own_name() -> str:
    """This process among all those of all hosts, in at most 120 characters: host, boot and process namespace, process id, when it started."""
    _, began = _state(os.getpid()) or ("", "0")
    return f"{socket.gethostname()[:30]} {_place() or '-'} {os.getpid()} {began}"


def has_died(name: str) -> bool:
    """Whether the process of this name is gone for certain: one of this very machine that is there no more. False when it cannot be known."""
    parts = name.split(" ")
    place = _place()
    if len(parts) != 4 or place is None or parts[1] != place or not parts[2].isdecimal():
        return False
    state = _state(int(parts[2]))
    return state is None or state[0] in {"Z", "X"} or state[1] != parts[3]


def _place() -> str | None:
    """This boot of this kernel and this set of process ids; None where there is no /proc to tell (other systems)."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return None


def _state(pid: int) -> tuple[str, str] | None:
    """The state of a process and when it started, in ticks since the boot; None when there is none (proc_pid_stat(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], fields[19]


class WorkSupervisor:
    """Keeps one child process running. `tell(event, **facts)` is told of starts and deaths."""

    def __init__(
        self, command: Sequence[str], *, stop_timeout_seconds: float, tell: Callable[..., object], elapsed: Callable[[], float]
    ) -> None:
        self._command = tuple(command)
        self._stop_timeout_seconds = stop_timeout_seconds
        self._tell = tell
        self._elapsed = elapsed
        self._stopping = threading.Event()
        self._begun = threading.Event()
        self._replacing = threading.Event()
        # A thread of its own for the child's whole life: `end_with_parent` looks at the thread that started it.
        self._thread = threading.Thread(target=self._supervise, name="work-supervisor", daemon=True)

    def start(self) -> None:
        """Start the child and return when it runs.

        Not before: Popen reads a pipe until its other end closes, and a server process forked meanwhile by another thread would hold that end open
        for ever, so that the death of the child would never be seen.
        """
        self._thread.start()
        self._begun.wait()

    def restart(self) -> None:
        """Have another child in the place of this one, soon; returns at once."""
        self._replacing.set()

    def stop(self) -> None:
        """Ask the child to stop, wait, kill it if it does not; nothing when it never started."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _supervise(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            began = self._elapsed()
            try:
                child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own interpreter and module
            finally:
                self._begun.set()
            self._tell("work_process_started", pid=child.pid)
            while child.poll() is None:
                if self._stopping.wait(0.1):
                    self._end(child)
                    return
                if self._replacing.is_set():
                    self._end(child)
            if self._replacing.is_set():
                self._replacing.clear()
                continue
            if self._elapsed() - began > STEADY_AFTER_SECONDS:
                wait = FIRST_WAIT_SECONDS
            self._tell("work_process_died", exit_status=child.returncode, next_start_in_seconds=wait)
            self._stopping.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    def _end(self, child: "subprocess.Popen[bytes]") -> None:
        child.terminate()
        try:
            child.wait(self._stop_timeout_seconds)
        except subprocess.TimeoutExpired:
            self._tell("work_process_killed", pid=child.pid)
            child.kill()
            child.wait()
