"""What check-config says: one Finding for each error and each warning, with the place in the YAML that it is about."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that check-config says.

    `path` is a YAML path such as `clients[2].redirect_uris[0]`; `file` is the included file that holds it, "" for the main one.
    """

    severity: Literal["error", "warning"]
    path: str
    message: str
    file: str = ""

    def __str__(self) -> str:
        place = f"{self.file}: {self.path}" if self.file and self.path else self.path or self.file or "(file)"
        return f"{self.severity}: {place}: {self.message}"
