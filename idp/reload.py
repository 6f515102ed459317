"""Asking a running server to read its configuration again: `vestibule reload`, or SIGHUP (systemd's ExecReload).

Owns the call and the answer between the two processes, over a Unix socket in the abstract namespace, named by the configuration file: no file to
clean up, and one server a file. What a reload does is idp/serve.py's. Linux; elsewhere SIGHUP alone works.
"""

import errno
import hashlib
import json
import os
import pwd
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from idp.errors import VestibuleError

LONGEST_NAME = 100
CALL_SECONDS = 5.0
LONGEST_RELOAD_SECONDS = 600.0
Say = Callable[[str], None]

log = structlog.get_logger(__name__)


class NoServer(VestibuleError):
    """No server of this configuration runs on this machine."""


class Reloads:
    """Answers those who ask, one at a time. `carry_out(operator, say)` does it and answers whether it was done; it says each stage as a line."""

    def __init__(self, config_path: Path, carry_out: Callable[[str, Say], bool]) -> None:
        self._config_path = config_path
        self._carry_out = carry_out
        self._one_at_a_time = threading.Lock()
        self._closing = threading.Event()
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Begin to listen; nothing where there is no abstract namespace."""
        if not sys.platform.startswith("linux"):
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(_address(self._config_path))
        except OSError as error:
            # Another server of this file, on another address, or somebody else's program.
            log.error("reload_not_offered", detail=error.strerror)
            self._socket.close()
            return
        self._socket.listen(4)
        threading.Thread(target=self._answer_all, args=(self._socket,), name="reloads", daemon=True).start()

    def signalled(self, *_: object) -> None:
        """What SIGHUP does; returns at once."""
        threading.Thread(target=self._do, args=("signal", lambda line: log.info("reload", said=line)), name="reload", daemon=True).start()

    def _answer_all(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError as error:
                if error.errno == errno.EBADF:
                    return
                log.warning("reload_not_heard", detail=error.strerror)
                self._closing.wait(1)  # too many files are open: that passes
                continue
            with caller:
                try:
                    self._answer(caller)
                except OSError as error:  # the caller went away: the reload was done all the same
                    log.warning("reload_not_answered", detail=error.strerror)

    def _answer(self, caller: socket.socket) -> None:
        caller.settimeout(CALL_SECONDS)
        if _uid_of(caller) not in {0, os.getuid()}:
            _send(caller, {"said": "only root, or the account that the server runs as, may reload it"})
            _send(caller, {"done": False})
            return
        operator = caller.makefile(encoding="utf-8").readline(LONGEST_NAME).strip()
        done = self._do(operator or "unknown", lambda line: _send(caller, {"said": line}))
        _send(caller, {"done": done})

    def _do(self, operator: str, say: Say) -> bool:
        with self._one_at_a_time:
            try:
                return self._carry_out(operator, say)
            except Exception:
                # Whatever went wrong, the server goes on as it was.
                log.exception("reload_failed")
                say("the reload broke: the server's log says why")
                return False


def ask(config_path: Path, operator: str) -> Iterator[str | bool]:
    """Ask the server of this configuration: each line that it says, then whether it was done. Raises NoServer."""
    if not sys.platform.startswith("linux"):
        raise NoServer("no_server", "send SIGHUP to the server: only Linux has a way to ask it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as call:
        call.settimeout(LONGEST_RELOAD_SECONDS)
        try:
            call.connect(_address(config_path))
            if (uid := _uid_of(call)) not in {0, os.getuid()}:
                # Anybody on this machine may take a name of this namespace first, and say that all is done.
                words = f"what answers for {config_path} runs as {_account(uid)}: run this as the account that the server runs as"
                raise NoServer("no_server", words)
            call.sendall(f"{operator[: LONGEST_NAME - 1]}\n".encode())
            # Not until the other end closes: a server process forked meanwhile holds it open too.
            for line in call.makefile(encoding="utf-8"):
                answer = json.loads(line)
                if "done" in answer:
                    yield bool(answer["done"])
                    return
                yield str(answer["said"])
        except OSError as error:
            raise NoServer("no_server", f"no server of {config_path} answers on this machine ({error.strerror or error})") from error


def _address(config_path: Path) -> str:
    return f"\0vestibule-{hashlib.sha256(str(config_path.resolve()).encode()).hexdigest()[:32]}"


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _uid_of(caller: socket.socket) -> int:
    _, uid, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


def _send(caller: socket.socket, answer: dict[str, object]) -> None:
    caller.sendall(json.dumps(answer).encode() + b"\n")
