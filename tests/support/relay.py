"""A relay between us and a server: counts connections, and keeps what passes upwards."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Listens on a free loopback port and hands everything on. `sent` holds what each connection said to the server."""

    def __init__(self, target: int) -> None:
        self.sent: list[bytearray] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._target == 0:
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            kept = bytearray()
            self.sent.append(kept)
            thread = threading.Thread(target=self._join, args=(client, server, kept))
            self._threads.append(thread)
            thread.start()

    def _join(self, client: socket.socket, server: socket.socket, kept: bytearray) -> None:
        """Both directions of one connection."""
        back = threading.Thread(target=self._pump, args=(server, client, bytearray()))
        back.start()
        self._pump(client, server, kept)
        back.join()
        client.close()
        server.close()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                kept += data
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and wait for what is under way; its ends must have been closed."""
        self._target = 0
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()


@contextmanager
def relayed(target: int) -> Iterator[Relay]:
    """A relay to a loopback port, for the length of the block."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()
