"""Syslog: RFC 5424 messages over TLS (RFC 5425), TCP with octet counting (RFC 6587) or UDP (RFC 5426).

Syslog answers nothing. Over TLS and TCP the records count as handed over when the other machine has acknowledged every byte, so that a server that
was cut off is sent them again; over UDP when they have left. One connection is kept. The message is ASCII, so that it needs no byte order mark.
"""

import array
import fcntl
import socket
import ssl
import termios
import time
from collections.abc import Sequence
from datetime import UTC

from connectors.streams.base import Record, StreamBroken
from connectors.streams.settings import SyslogSettings

APP_NAME = "vestibule"
# What fits in one UDP datagram over IPv4. A longer message loses its end there, which RFC 5426 allows and no other transport needs.
MOST_UDP_BYTES = 65_507
POLL_SECONDS = 0.002


class Syslog:
    """One syslog server."""

    def __init__(self, settings: SyslogSettings) -> None:
        self._settings = settings
        self._host = settings.hostname or socket.gethostname()[:255] or "-"
        self._socket: socket.socket | None = None

    def send(self, records: Sequence[Record]) -> None:
        """See Sink."""
        messages = [self._message(record) for record in records]
        try:
            link = self._connected()
            if self._settings.transport == "udp":
                for message in messages:
                    link.send(message[:MOST_UDP_BYTES])
                return
            link.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
            self._await_acknowledged(link)
        except OSError as error:
            self.close()
            raise StreamBroken(_words(error)) from error

    def close(self) -> None:
        """See Sink."""
        link, self._socket = self._socket, None
        if link is not None:
            link.close()

    def _message(self, record: Record) -> bytes:
        priority = self._settings.facility * 8 + record.severity
        at = record.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return f"<{priority}>1 {at} {self._host} {APP_NAME} - {record.kind} - {record.text}".encode("ascii", "backslashreplace")

    def _connected(self) -> socket.socket:
        if self._socket is not None and not self._has_ended(self._socket):
            return self._socket
        self.close()
        timeout = self._settings.timeout.total_seconds()
        address = (self._settings.host, self._settings.port)
        if self._settings.transport == "udp":
            family, kind, protocol, _, where = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
            link = socket.socket(family, kind, protocol)
            link.connect(where)
        else:
            link = socket.create_connection(address, timeout=timeout)
            if self._settings.transport == "tls":
                link = self._over_tls(link)
        link.settimeout(timeout)
        self._socket = link
        return link

    def _over_tls(self, link: socket.socket) -> ssl.SSLSocket:
        try:
            context = ssl.create_default_context(cafile=self._settings.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._settings.certificate is not None:
                context.load_cert_chain(self._settings.certificate)
            return context.wrap_socket(link, server_hostname=self._settings.host)
        except BaseException:
            link.close()
            raise

    def _has_ended(self, link: socket.socket) -> bool:
        """Whether the other side has closed: what is sent then would be lost without a word. A syslog server says nothing otherwise."""
        if self._settings.transport == "udp":
            return False
        link.settimeout(0)
        try:
            return link.recv(1024) == b""
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        finally:
            link.settimeout(self._settings.timeout.total_seconds())

    def _await_acknowledged(self, link: socket.socket) -> None:
        """Until the other machine has acknowledged all bytes (SIOCOUTQ, tcp(7))."""
        waiting = array.array("i", [0])
        for _ in range(int(self._settings.timeout.total_seconds() / POLL_SECONDS) + 1):
            fcntl.ioctl(link.fileno(), termios.TIOCOUTQ, waiting)
            if waiting[0] == 0:
                break
            time.sleep(POLL_SECONDS)
        else:
            raise TimeoutError("what was sent is not acknowledged")
        if self._has_ended(link):
            raise ConnectionResetError("the server closed the connection")


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return (error.strerror or str(error) or type(error).__name__)[:200]
