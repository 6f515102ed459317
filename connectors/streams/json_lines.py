"""JSON Lines: records appended to a file of this machine, which logrotate may move away at any instant. On the disk before they count as taken."""

import os
from collections.abc import Sequence

from connectors.streams.base import Record, StreamBroken
from connectors.streams.settings import JsonLinesSettings


class JsonLines:
    """One file, made with mode 0600."""

    def __init__(self, settings: JsonLinesSettings) -> None:
        self._path = settings.path

    def send(self, records: Sequence[Record]) -> None:
        """See Sink."""
        data = "".join(f"{record.text}\n" for record in records).encode("ascii", "backslashreplace")
        try:
            # A link that somebody else put there is not followed.
            handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    data = b"\n" + data  # a machine that stopped in the middle of a line
                while data:
                    data = data[os.write(handle, data) :]
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise StreamBroken(f"cannot write the file: {error.strerror}") from error

    def close(self) -> None:
        """See Sink."""
