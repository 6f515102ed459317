"""The request that pages see: a query string is ASCII on the wire (RFC 3986 section 2), and one that is not must not break its reader.

Werkzeug raises where it meets bytes that are not UTF-8; here they are percent-encoded before it looks, as they should have been.
"""

import string
from typing import Any
from urllib.parse import quote

from flask import Request


class PageRequest(Request):
    """Flask's request with a query string that can always be read."""

    def __init__(self, environ: dict[str, Any], populate_request: bool = True, shallow: bool = False) -> None:  # noqa: FBT001, FBT002 - Werkzeug's
        query = environ.get("QUERY_STRING", "")
        if not query.isascii():
            environ["QUERY_STRING"] = quote(query, safe=string.printable, encoding="latin-1")
        super().__init__(environ, populate_request, shallow)
