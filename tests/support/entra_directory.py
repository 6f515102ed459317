"""What the stand-in's Graph shows an application of a tenant's people, groups and subscriptions, and what an administrator changes there.

From Microsoft's documentation: "user: delta", "group: delta", "Use delta query to track changes" ($deltatoken=latest, @removed with changed or
deleted, replays, 410 with a Location), "List a user's transitive memberOf", "Create subscription" (the validation request, ten seconds).
"""

import base64
import json
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tests.support.entra_people import CLIENT_ID, Group, Person
from tests.support.entra_wire import Reply

if TYPE_CHECKING:
    from tests.support.entra import Entra

APPLICATION = "5e7f0000-0000-4000-8000-00000000a001"  # our application's object in the tenant
USUAL = ("businessPhones", "displayName", "givenName", "id", "mail", "mobilePhone", "surname", "userPrincipalName")  # without $select
LONGEST_SUBSCRIPTION_MINUTES = 41_760
Reach = Callable[[str, Any], tuple[int, str]]


class TenantDirectory:
    """People and groups of every tenant, as our application may see them.

    `reach` is how Microsoft calls an address of ours: URL and JSON body (None: the validation) to status and text.
    """

    def __init__(self, entra: "Entra") -> None:
        self._entra = entra
        self.page_size = 100
        self.replays = False
        self.is_expired = False  # the delta tokens: 410
        self.forbids: set[str] = set()  # permissions that nobody granted: the beginning of a path
        self.changes: dict[str, list[dict[str, Any]]] = {"users": [], "groups": []}  # oldest first
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.reach: Reach = lambda url, body: (0, "")
        self.names: dict[str, str] = {}  # of groups that were renamed

    # What an administrator does

    def disable(self, person: Person) -> None:
        """The account is blocked."""
        person.enabled = False
        self._changed(person)

    def enable(self, person: Person) -> None:
        """The opposite."""
        person.enabled = True
        self._changed(person)

    def bin(self, person: Person) -> None:
        """Deleted, and kept for thirty days."""
        person.deleted = True
        self._say("users", {"id": person.oid, "@removed": {"reason": "changed"}})

    def purge(self, person: Person) -> None:
        """Deleted for good."""
        person.deleted = True
        self._say("users", {"id": person.oid, "@removed": {"reason": "deleted"}})

    def restore(self, person: Person) -> None:
        """Out of the bin."""
        person.deleted = False
        self._changed(person)

    def leave(self, person: Person, group: Group) -> None:
        """Out of a group, nested ones too."""
        person.groups = [one for one in person.groups if one.id != group.id]
        person.nested = [one for one in person.nested if one.id != group.id]
        self._moved(group, person, {"@removed": {"reason": "deleted"}})

    def join(self, person: Person, group: Group) -> None:
        """Into a group."""
        person.groups = [*person.groups, group]
        self._moved(group, person, {})

    def rename(self, group: Group, name: str) -> None:
        """Another display name."""
        self.names[group.id] = name
        self._say("groups", {"id": group.id, "displayName": name})

    def delete_group(self, group: Group) -> None:
        """A group is gone, with what it gave."""
        for person in self._entra.people:
            person.groups = [one for one in person.groups if one.id != group.id]
        self._say("groups", {"id": group.id, "@removed": {"reason": "changed"}})

    def _changed(self, person: Person) -> None:
        self._say("users", person.shown())
        self.tell("users")

    def _moved(self, group: Group, person: Person, how: dict[str, Any]) -> None:
        self._say("groups", {"id": group.id, "members@delta": [{"@odata.type": "#microsoft.graph.user", "id": person.oid, **how}]})
        self.tell("groups")

    def _say(self, kind: str, one: dict[str, Any]) -> None:
        self.changes[kind].append(one)

    # What Microsoft says by itself

    def tell(self, resource: str, *, client_state: str | None = None) -> list[int]:
        """A notice to every subscription of a resource; the statuses. `client_state` instead of the one that was asked for."""
        found = []
        for one in self.subscriptions.values():
            if one["resource"] != resource:
                continue
            notice = {
                "subscriptionId": one["id"],
                "changeType": "updated",
                "clientState": one["clientState"] if client_state is None else client_state,
                "resource": f"{resource}/{secrets.token_hex(4)}",
                "tenantId": one["tenant"],
            }
            found.append(self.reach(one["notificationUrl"], {"value": [notice]})[0])
        return found

    # What is answered

    def answer(self, tenant: str, method: str, path: str, query: dict[str, str], body: Any) -> Reply:
        """A request with the application's own token."""
        if any(path.startswith(one) for one in self.forbids):
            return error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
        parts = path.split("/")
        if parts[0] == "subscriptions":
            return self._subscription(tenant, method, parts[1:], body)
        if method != "GET":
            return error(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
        if path in {"users/delta", "groups/delta"}:
            return self._delta(tenant, parts[0], query)
        if path == "groups":
            return self._page(path, [self._shown(group) for group in self._groups(tenant)], query)
        if parts[0] == "groups" and parts[2:] == ["transitiveMembers", "microsoft.graph.user"]:
            inside = [one for one in self._people(tenant) if parts[1] in {group.id for group in (*one.groups, *one.nested)}]
            return self._page(path, [{"id": one.oid} for one in inside], query)
        if path == f"servicePrincipals(appId='{CLIENT_ID}')":
            return Reply.of({"id": APPLICATION, "appRoles": [{"id": role_id(one), "value": one} for one in self._roles(tenant)]})
        if parts[0] == "users" and len(parts) > 1:
            return self._person(tenant, parts, path, query)
        return error(400, "BadRequest", f"Resource not found for the segment '{parts[0]}'.")

    def _person(self, tenant: str, parts: list[str], path: str, query: dict[str, str]) -> Reply:
        person = next((one for one in self._people(tenant) if one.oid == parts[1]), None)
        if person is None:
            return error(404, "Request_ResourceNotFound", f"Resource '{parts[1]}' does not exist or one of its properties is missing.")
        if len(parts) == 2:
            names = query["$select"].split(",") if "$select" in query else list(USUAL)
            return Reply.of(chosen(person.shown(), names))
        if parts[2] == "transitiveMemberOf":
            return self._page(path, [self._shown(group) for group in (*person.groups, *person.nested)], query)
        given = [{"appRoleId": role_id(role), "resourceId": APPLICATION} for role in person.roles]
        return self._page(path, given, query)

    def _page(self, path: str, values: list[dict[str, Any]], query: dict[str, str]) -> Reply:
        begin, size = int(query.get("$skiptoken", "0")), min(int(query.get("$top", "100")), self.page_size)
        body: dict[str, Any] = {"value": values[begin : begin + size]}
        if begin + size < len(values):
            base = self._entra.graph.next_link_host or self._entra.url
            body["@odata.nextLink"] = f"{base}/v1.0/{path}?$top={size}&$skiptoken={begin + size}"
        return Reply.of(body)

    def _delta(self, tenant: str, kind: str, query: dict[str, str]) -> Reply:
        """Tokens hold the chosen properties and where one is, as there: a $select on a later request is not read."""
        said = query.get("$deltatoken")
        if self.is_expired and said not in {None, "", "latest"}:
            where = {"Location": f"{self._entra.graph_url}/{kind}/delta?$deltatoken="}
            return error(410, "syncStateNotFound", "Tenant sync state not found.", where)
        changes, names = self.changes[kind], query.get("$select", "")
        if said == "latest":
            return self._delta_page(kind, [], {"select": names, "at": len(changes)}, is_last=True)
        token = said or query.get("$skiptoken")
        if not token:
            everybody = (
                [one.shown() for one in self._people(tenant)] if kind == "users" else [self._shown(one) for one in self._groups(tenant)]
            )
            found = [{"id": one["id"], **chosen(one, names.split(",") if names else list(USUAL))} for one in everybody]
            return self._delta_page(kind, found, {"select": names, "at": len(changes)}, is_last=True)
        state: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token))
        wanted = [*(name for name in state["select"].split(",") if name), "members@delta", "@removed"]
        begin = max(0, state["at"] - 1) if self.replays and said else state["at"]
        part = changes[begin : begin + self.page_size]
        found = [{"id": one["id"], **chosen(one, wanted)} for one in part if self._is_of(tenant, kind, one["id"])]
        at = begin + len(part)
        return self._delta_page(kind, found, {**state, "at": at}, is_last=at >= len(changes))

    def _delta_page(self, kind: str, found: list[dict[str, Any]], state: dict[str, Any], *, is_last: bool) -> Reply:
        token = base64.urlsafe_b64encode(json.dumps(state).encode()).decode()
        link, name = ("@odata.deltaLink", "$deltatoken") if is_last else ("@odata.nextLink", "$skiptoken")
        base = self._entra.graph.next_link_host or self._entra.url
        return Reply.of({"value": found, link: f"{base}/v1.0/{kind}/delta?{name}={token}"})

    def _subscription(self, tenant: str, method: str, parts: list[str], body: Any) -> Reply:
        ours = [
            {name: value for name, value in one.items() if name != "tenant"}
            for one in self.subscriptions.values()
            if one["tenant"] == tenant
        ]
        if method == "GET":
            return Reply.of({"value": ours})
        if method == "PATCH":
            kept = self.subscriptions.get(parts[0]) if parts else None
            if kept is None:
                return error(404, "ResourceNotFound", "The object was not found.")
            kept["expirationDateTime"] = body["expirationDateTime"]
            return Reply.of({name: value for name, value in kept.items() if name != "tenant"})
        wanted = secrets.token_urlsafe(20) + " plus"
        status, text = self.reach(f"{body['notificationUrl']}?validationToken={wanted.replace(' ', '+')}", None)
        if (status, text) != (200, wanted):
            return error(
                400,
                "ValidationError",
                "Subscription validation request failed. Response must exactly match validationToken query parameter.",
            )
        made = {"id": secrets.token_hex(16), **body, "tenant": tenant}
        self.subscriptions[made["id"]] = made
        return Reply.of({name: value for name, value in made.items() if name != "tenant"}, 201)

    def _people(self, tenant: str) -> list[Person]:
        return [one for one in self._entra.people if one.tenant == tenant and not one.deleted]

    def _groups(self, tenant: str) -> list[Group]:
        everything: Iterable[Group] = (group for one in self._people(tenant) for group in (*one.groups, *one.nested))
        return list({group.id: group for group in everything if group.kind == "#microsoft.graph.group"}.values())

    def _roles(self, tenant: str) -> list[str]:
        return list(dict.fromkeys(role for one in self._people(tenant) for role in one.roles))

    def _shown(self, group: Group) -> dict[str, Any]:
        shown = group.shown(with_names=True)
        return {**shown, "displayName": self.names.get(group.id, shown["displayName"])}

    def _is_of(self, tenant: str, kind: str, oid: str) -> bool:
        """A group is every tenant's here; a person is of one."""
        return kind == "groups" or any(one.oid == oid and one.tenant == tenant for one in self._entra.people)


def role_id(role: str) -> str:
    """The id of an app role."""
    return f"role-{role.lower()}"


def chosen(values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the properties that were asked for."""
    return {name: values[name] for name in names if name in values}


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Reply:
    """As Graph writes one."""
    inner = {"date": "2026-11-23T08:00:00", "request-id": secrets.token_hex(8)}
    reply = Reply.of({"error": {"code": code, "message": message, "innerError": inner}}, status)
    reply.headers |= headers or {}
    return reply
