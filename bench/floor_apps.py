"""The least a web layer can do: two applications that answer a constant, served as Vestibule is.

They give the floor under every request: what the server and the framework cost before any work is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

BODY = b'{"hello":"world"}'


def bare(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI and nothing else."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    return [BODY]


def create_hello() -> Flask:
    """A Flask application with one route."""
    app = Flask(__name__)

    @app.get("/")
    def hello() -> tuple[bytes, dict[str, str]]:
        return BODY, {"Content-Type": "application/json"}

    return app


hello = create_hello()
