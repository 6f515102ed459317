"""Another Vestibule as the upstream provider of a world: a real OpenID Provider over HTTP on a loopback port, with the same clock and cast.

People reach it with the browser that they have here; the world's connector reaches it over the network.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from werkzeug.serving import WSGIRequestHandler, make_server

from idp.config import ClientSettings
from idp.crypto import digest
from idp.store.base import Link
from tests.support.browser import Browser
from tests.support.world import ISSUER, World

NAME = "voisin"
LABEL = "Le Voisin"
CLIENT_ID = "vestibule-en-aval"
WSGI = Callable[[dict[str, Any], Callable[..., Any]], Any]
# Who of the neighbour's people gets an Account by a rule, and where.
RULE = {"attributes": {"preferred_username": "claire.dubois"}, "establishment": "tilleuls", "profile": "nurse"}


class Neighbour:
    """The provider: `settings` of it for a world downstream, and what may happen to it."""

    def __init__(self, world: World, secret_file: str, port: int) -> None:
        self.world = world
        self.issuer = world.issuer
        self.port = port
        self.is_down = False
        self.requests: list[str] = []
        self._secret_file = secret_file

    def settings(self, name: str = NAME, **changes: Any) -> dict[str, Any]:
        """One item of `providers`."""
        return {
            "name": name,
            "type": "oidc",
            "label": LABEL,
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": f"file:{self._secret_file}",
            "scopes": ["openid", "profile", "email", "offline_access"],
            "claims": {"attributes": ["preferred_username"]},
            "mapping": [RULE],
            **changes,
        }

    def browser(self, world: World, *, address: str = "127.0.0.1") -> Browser:
        """A browser that may go to a world and to this provider."""
        ways = {
            world.issuer: httpx.WSGITransport(world.wsgi, remote_addr=address),
            self.issuer: httpx.WSGITransport(self.world.wsgi, remote_addr="127.0.0.1"),
        }
        mounts = {f"all://{issuer.partition('://')[2]}": way for issuer, way in ways.items()}
        return Browser(httpx.Client(mounts=mounts), world.issuer, origins=(self.issuer,))

    def sign_in(self, browser: Browser, person: str = "claire") -> None:
        """Fill the provider's form, which the browser is at."""
        browser.sign_in(self.world.person(person).username, self.world.password)

    def link(self, world: World, person: str = "claire", *, name: str = NAME) -> None:
        """Arrange what a proven act would: the person there is the one of the same name here."""
        with world.arranging() as tx:
            tx.links.add(
                Link(
                    connector=name,
                    subject=self.world.account(person).id,
                    account_id=world.account(person).id,
                    word="usable",
                    word_at=world.clock.now(),
                    seen_digest="",
                    held_by_run=None,
                    held_until=None,
                    password_changed_at=None,
                    created_at=world.clock.now(),
                    kind="upstream",
                    how="proven",
                )
            )

    def asked(self, path: str) -> int:
        """How often the connector has asked for a path."""
        return self.requests.count(path)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """WSGI, as the connector sees it."""
        self.requests.append(environ["PATH_INFO"])
        if self.is_down:
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return self.world.wsgi(environ, start_response)


class Door:
    """A loopback port whose answerer is known a little later: a world needs its own address before it can be made."""

    def __init__(self) -> None:
        self.answer: WSGI | None = None
        self._server = make_server("127.0.0.1", 0, self._answered, threaded=True, request_handler=_Quiet)
        self.port = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answered(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if self.answer is None:
            raise AssertionError("nobody is behind this door yet")
        return self.answer(environ, start_response)

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    def log(self, *_said: Any) -> None:
        """Nothing."""


@contextmanager
def neighbouring(make_world: Callable[..., World], *names: str, downstream: str = ISSUER, **settings: Any) -> Iterator[Neighbour]:
    """A running neighbour, which knows the world at `downstream` under the names of one or more providers."""
    door = Door()
    try:
        world = make_world(issuer=f"http://127.0.0.1:{door.port}", **settings)
        secret = world.clock.new_token()
        secret_file = world.folder / "downstream.secret"
        secret_file.write_text(secret, encoding="utf-8")
        client = ClientSettings.model_validate(
            {
                "client_id": CLIENT_ID,
                "name": "Vestibule en aval",
                "redirect_uris": tuple(f"{downstream}/upstream/{name}/callback" for name in names or (NAME,)),
                "grant_types": ("authorization_code", "refresh_token"),
                "scopes": ("openid", "profile", "email", "offline_access", "establishment"),
            }
        )
        with world.arranging() as tx:
            tx.clients.put(client, secret_digest=digest(secret), source="operator", now=world.clock.now())
        neighbour = Neighbour(world, str(secret_file), door.port)
        door.answer = neighbour
        yield neighbour
    finally:
        door.close()
