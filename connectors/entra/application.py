"""Microsoft Graph with the application's own right: a token of each tenant, and questions that need no person.

Owns the token's life and what a refusal of ours means. Its connections are its own: a reading of everybody must keep no sign-in waiting. Knows
nothing of what is asked (people.py, delta.py, subscription.py). Source: "Get access without a user" and "Throttling" of Microsoft Graph.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from connectors.base import CheckStep, Clock, ConnectorError, SourceMisbehaved, SourceUnreachable
from connectors.entra.code_flow import CodeFlow
from connectors.entra.graph import error_code_of
from connectors.entra.metadata import Publications
from connectors.entra.refusals import of_ourselves
from connectors.entra.settings import EntraSettings
from connectors.entra.wire import Answer, Wire, origin_of

RENEWED_BEFORE = timedelta(minutes=5)
SHORTEST_LIFE_SECONDS = 60
MOST_PAGES = 10_000
PERMISSIONS = (
    "User.Read.All and GroupMember.Read.All (with `roles`, Directory.Read.All too): application permissions that an administrator grants"
)


class ApplicationGraph:
    """Graph, as our application sees it. Safe to share between threads; every question passes through the wire's guard by itself."""

    def __init__(self, settings: EntraSettings, clock: Clock) -> None:
        self.address = settings.graph
        self._settings = settings
        self._clock = clock
        self._entra = Wire("Entra", settings, clock)
        self._graph = Wire("Graph", settings, clock)
        self._flow = CodeFlow(settings, self._entra, Publications(settings, self._entra, clock), clock=clock)
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[str, datetime]] = {}

    def get(self, tenant: str, url: str) -> Answer:
        """Ask; a refusal that is about what was asked (400, 404, 410) comes back as an answer.

        Raises SourceUnreachable (also when a permission is missing) or SourceMisbehaved.
        """
        return self._asked(tenant, url, lambda headers: self._graph.get(url, headers=headers))

    def send(self, tenant: str, method: Literal["POST", "PATCH"], url: str, *, body: Mapping[str, Any]) -> Answer:
        """Send a JSON object. Raises as `get`."""
        return self._asked(tenant, url, lambda headers: self._graph.send(method, url, body, headers=headers))

    def pages(self, tenant: str, url: str) -> Iterator[Mapping[str, Any]]:
        """The objects of a listing, page by page. Raises as `get`, and SourceMisbehaved for any refusal."""
        following: str | None = url
        for _ in range(MOST_PAGES):
            if following is None:
                return
            answer = self.get(tenant, following)
            if answer.status >= 300:
                raise self.refusal(url, answer)
            values, following, _ = page_of(answer)
            yield from values
        raise SourceMisbehaved(f"Graph: a listing of more than {MOST_PAGES} pages")

    def refusal(self, url: str, answer: Answer) -> SourceMisbehaved:
        """An answer that was not to be expected."""
        return SourceMisbehaved(f"Graph answered {answer.status} {error_code_of(answer) or ''} to {self._path(url)}")

    def check(self) -> Iterator[CheckStep]:
        """Whether each tenant tells us of its people and groups. Raises nothing of the family."""
        for tenant in self._settings.tenants:
            title = f"Listening to {tenant}"
            try:
                for asked in (
                    "users/delta?$select=id,accountEnabled&$deltatoken=latest",
                    "groups/delta?$select=id,members&$deltatoken=latest",
                ):
                    answer = self.get(tenant, f"{self.address}/{asked}")
                    if answer.status >= 300:
                        raise self.refusal(asked, answer)
            except ConnectorError as error:
                yield CheckStep(title=title, outcome="failed", explanation=str(error))
            else:
                yield CheckStep(title=title, outcome="ok", explanation="Graph tells our application of changes of people and groups")

    def close(self) -> None:
        """Let go of connections."""
        self._entra.close()
        self._graph.close()

    def _asked(self, tenant: str, url: str, ask: Callable[[Mapping[str, str]], Answer]) -> Answer:
        if origin_of(url) != origin_of(self.address):
            raise SourceMisbehaved("Graph: an address of another host, where no token of ours goes")
        for is_last in (False, True):
            token = self._token(tenant)
            with self._graph.passage(of="question"):
                answer = ask({"Authorization": f"Bearer {token}"})
            if answer.status != 401:
                break
            self._forget(tenant, token)
            if is_last:
                raise SourceUnreachable(f"Graph answered 401 to {self._path(url)}: our token is refused", trouble="service_account")
        if answer.status == 403:
            words = f"Graph answered 403 to {self._path(url)}: a permission is missing: {PERMISSIONS}"
            raise SourceUnreachable(words, trouble="service_account")
        return answer

    def _token(self, tenant: str) -> str:
        with self._lock:
            kept = self._tokens.get(tenant)
        now = self._clock.now()
        if kept is not None and now < kept[1]:
            return kept[0]
        with self._entra.passage(of="question"):
            answer = self._flow.rehearse(tenant)
        if "error" in answer:
            raise of_ourselves(answer)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int) or isinstance(seconds, bool):
            raise SourceMisbehaved("Entra: a token answer without a token or its life")
        until = now + max(timedelta(seconds=seconds) - RENEWED_BEFORE, timedelta(seconds=SHORTEST_LIFE_SECONDS))
        with self._lock:
            self._tokens[tenant] = (token, until)
        return token

    def _forget(self, tenant: str, token: str) -> None:
        with self._lock:
            if tenant in self._tokens and self._tokens[tenant][0] == token:
                del self._tokens[tenant]

    def _path(self, url: str) -> str:
        return url.removeprefix(self.address).partition("?")[0]


def page_of(answer: Answer) -> tuple[list[Mapping[str, Any]], str | None, str | None]:
    """The objects of a page, where the next one is, and, of the last one of a round of changes, where to ask the next time."""
    values = answer.body.get("value")
    if not isinstance(values, list):
        raise SourceMisbehaved("Graph: a page without a list")
    following, last = answer.body.get("@odata.nextLink"), answer.body.get("@odata.deltaLink")
    objects: list[Mapping[str, Any]] = [one for one in values if isinstance(one, dict)]
    return objects, following if isinstance(following, str) else None, last if isinstance(last, str) else None
