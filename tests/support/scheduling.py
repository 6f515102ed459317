"""Which tests one process runs: those of a file, and those of all files that need the same heavy server, which is then started once.

A domain controller, and a browser with the demonstration beside it, take ten seconds of computing to start. Asked by tests/conftest.py.
"""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler.loadfile import LoadFileScheduling

DOMAIN = re.compile(r"\b(second_)?samba\b")
BROWSER, BY_ITSELF = "tests/browser/", "tests/browser/test_every_template.py"


class ServerScheduling(LoadFileScheduling):
    """xdist's --dist loadfile, with these files taken together."""

    def _split_scope(self, nodeid: str) -> str:
        return server_of(super()._split_scope(nodeid))


@cache
def server_of(file: str) -> str:
    """What a test file's process starts for it; the file itself where that is nothing heavy."""
    if file.startswith(BROWSER) and file != BY_ITSELF:
        return BROWSER
    if DOMAIN.search((Path(__file__).parents[2] / file).read_text(encoding="utf-8")):
        return "a domain"
    return file
