"""SMS written to a file of this machine, one JSON line each, for demonstrations: what it holds opens doors, so only its owner may read it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from connectors.base import CheckStep
from connectors.delivery import NotDelivered, Outgoing


class FileSms:
    """Appends to one file, made with mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, outgoing: Outgoing) -> str:
        """See Gateway."""
        line = json.dumps({"at": outgoing.at.isoformat(), "to": outgoing.to, "text": outgoing.text}, ensure_ascii=False) + "\n"
        try:
            # A link that somebody else put there is not followed; one write, so that two lines never mix.
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(handle, 0o600)
                os.write(handle, line.encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise NotDelivered(f"cannot write the file: {error.strerror}", is_final=False) from error
        return "written"

    def rehearse(self, outgoing: Outgoing) -> Iterator[CheckStep]:
        """See Gateway."""
        try:
            self.send(outgoing)
        except NotDelivered as error:
            yield CheckStep(title="File", outcome="failed", explanation=error.detail)
        else:
            yield CheckStep(title="File", outcome="ok", explanation=f"written to {self._path}: nothing is sent to any telephone")

    def close(self) -> None:
        """See Gateway."""
