"""What is measured: a running OpenID Provider with a client and people registered, and how to talk to it.

Owns the description and the reading of a discovery document.
Starting and stopping is bench.vestibule's and bench.peers'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.processes import Server


class PreparationError(Exception):
    """What a subject needs is missing, or could not be set up; the text says what to do or what was said."""


@dataclass(frozen=True, slots=True)
class Client:
    """The one confidential client of a subject (client_secret_basic, PKCE S256)."""

    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Paths on the server, as its discovery document names them."""

    discovery: str
    authorize: str
    token: str
    userinfo: str
    introspect: str

    @classmethod
    def read(cls, document: bytes, path: str) -> Endpoints:
        """The endpoints of a discovery document that was served at `path`. Raises KeyError when one is missing."""
        metadata = json.loads(document)
        paths = {name: urlsplit(metadata[f"{name}_endpoint"]).path for name in ("authorization", "token", "userinfo", "introspection")}
        return cls(path, paths["authorization"], paths["token"], paths["userinfo"], paths["introspection"])


@dataclass(frozen=True, slots=True)
class Subject:
    """One system under test.

    `alg` signs its ID and access tokens; `store` says in words where its state lives and how durable it is;
    `identifiers` are people who all have `password`; `client_credentials` are extra parameters of W1 that make the
    access token a JWT; `scope` is asked at every sign-in. `is_ours` marks Vestibule.
    `workloads` are the keys of those that it can run; empty when it can run them all.
    """

    name: str
    alg: str
    store: str
    password_hash: str
    version: str
    server: Server
    endpoints: Endpoints
    client: Client
    identifiers: tuple[str, ...]
    password: str
    is_ours: bool
    scope: str = "openid profile email"
    client_credentials: Mapping[str, str] = field(default_factory=dict)
    cold_start_s: float = 0.0
    workloads: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """host:port, as in the Host header."""
        return f"127.0.0.1:{self.server.port}"

    @property
    def address(self) -> tuple[str, int]:
        """What a socket connects to."""
        return ("127.0.0.1", self.server.port)

    def runs(self, workload: str) -> bool:
        """Can it run the workload of this key?"""
        return not self.workloads or workload in self.workloads

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"{self.name} ({self.alg})"
