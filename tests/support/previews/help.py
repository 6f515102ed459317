"""The self-test page, when all is well and when nothing is."""

from collections.abc import Mapping
from typing import Any

from tests.support.previews.page import Page

WELL: Mapping[str, Any] = {
    "keeps_cookies": True,
    "browser": "Firefox, Windows",
    "age": "recent",
    "is_https": True,
    "is_local": False,
    "zone": "les-tilleuls/lan",
    "zone_kind": "trusted",
    "address": "10.20.0.14",
    "server_time": "22 nov. 2026 01:58",
    "server_seconds": 1795309080,
}
ILL: Mapping[str, Any] = {
    **WELL,
    "keeps_cookies": False,
    "browser": "",
    "age": "unknown",
    "is_https": False,
    "zone": "outside",
    "zone_kind": "outside",
    "address": "2001:db8:1234:5678:90ab:cdef:1234:5678",
}
PAGES: tuple[Page, ...] = (
    Page("help-test", "help_test.html", WELL),
    Page("help-test-ill", "help_test.html", ILL),
    Page("help-test-old", "help_test.html", {**WELL, "age": "old", "zone_kind": "shared_workstation"}),
)
