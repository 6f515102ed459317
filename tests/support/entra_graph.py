"""The stand-in's Microsoft Graph: access tokens, and what a person's own shows: /me, memberships. The application's: entra_directory.py."""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.support.entra_directory import USUAL, TenantDirectory, error
from tests.support.entra_people import Group, Person
from tests.support.entra_wire import Reply

if TYPE_CHECKING:
    from tests.support.entra import Entra

TOKEN_LIFE = timedelta(minutes=68)


@dataclass(frozen=True)
class Access:
    """What an access token stands for; `person` is None for the application's own."""

    person: Person | None
    tenant: str
    scope: frozenset[str]
    ends_at: datetime


class GraphService:
    """Graph of every tenant. `page_size` is the most in one page, whatever is asked."""

    def __init__(self, entra: "Entra") -> None:
        self._entra = entra
        self.tokens: dict[str, Access] = {}
        self.page_size = 100
        self.next_link_host: str | None = None  # where a lying service sends the token
        self.directory = TenantDirectory(entra)

    def give_token(self, person: Person | None, tenant: str, scope: str) -> str:
        token = f"EwB{secrets.token_urlsafe(40)}"
        names = frozenset(name.rpartition("/")[2] for name in scope.split())
        self.tokens[token] = Access(person, tenant, names, self._entra.now() + TOKEN_LIFE)
        return token

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        access = self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "))
        if access is None or access.ends_at <= self._entra.now():
            return error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
        what = path.removeprefix("/v1.0/")
        person = access.person
        if person is None:
            if what.startswith("me"):
                return error(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
            return self.directory.answer(access.tenant, method, what, query, json.loads(headers.get("body") or "null"))
        if what == "users/delta":
            return error(403, "Authorization_RequestDenied", "Insufficient privileges")
        if person.deleted:
            return error(404, "Request_ResourceNotFound", "Resource does not exist.")
        if what == "me":
            if "User.Read" not in access.scope:
                return error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
            chosen = query["$select"].split(",") if "$select" in query else USUAL
            shown = person.shown()
            return self._reply(
                {"@odata.context": f"{self._entra.graph_url}/$metadata#users/$entity", **{name: shown.get(name) for name in chosen}}
            )
        if what in {"me/memberOf", "me/transitiveMemberOf"}:
            groups = person.groups if what == "me/memberOf" else [*person.groups, *person.nested]
            return self._members(groups, what, query, with_names="GroupMember.Read.All" in access.scope)
        return error(404, "ResourceNotFound", "Resource not found for the segment.")

    def _members(self, groups: list[Group], what: str, query: dict[str, str], *, with_names: bool) -> Reply:
        begin = int(query.get("$skiptoken", "0"))
        size = min(int(query.get("$top", "100")), self.page_size)
        body: dict[str, Any] = {"value": [group.shown(with_names=with_names) for group in groups[begin : begin + size]]}
        if begin + size < len(groups):
            base = self.next_link_host or self._entra.url
            body["@odata.nextLink"] = f"{base}/v1.0/{what}?$top={size}&$skiptoken={begin + size}"
        return self._reply(body)

    @staticmethod
    def _reply(value: dict[str, Any]) -> Reply:
        return Reply.of(value)
