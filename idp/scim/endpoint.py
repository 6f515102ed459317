"""The SCIM endpoints (RFC 7644 section 3.2): who calls, which resource, which method; each write one transaction, alone with its source.

A refusal writes nothing but its Event. /Bulk and /Me are not offered, and say so. Calls users.py, groups.py, query.py; idp/web/scim.py is in front.
"""

from dataclasses import replace
from typing import Any

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.config import Config, ScimSettings
from idp.errors import StoreUnavailable
from idp.scim.caller import Callers
from idp.scim.discovery import Discovery
from idp.scim.errors import ScimError, not_there
from idp.scim.groups import Groups
from idp.scim.message import LARGEST_GROUP, ScimRequest, ScimResponse, scim_response
from idp.scim.person import Keeper
from idp.scim.query import Question, Shelf
from idp.scim.resource import Projection, is_version, version_of
from idp.scim.schema import GROUPS, KINDS, USERS, ResourceKind
from idp.scim.users import Users
from idp.scim.written import Written
from idp.signin.linking import CONFLICT, Linking
from idp.store.base import ScimResource
from idp.store.database import Database, Transaction

ROOT = "/scim/v2"
DISCOVERY = {name.lower(): name for name in ("ServiceProviderConfig", "ResourceTypes", "Schemas")}
SEARCH = ".search"
NOT_OFFERED = frozenset({"bulk", "me"})
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# A person, or a question, in bytes: what is done for each byte of it is more than for one of a group, whose members are counted instead.
LARGEST = 131_072


class Scim:
    """What answers below /scim/v2. Safe between threads."""

    def __init__(self, config: Config, database: Database, callers: Callers, *, linking: Linking, clock: Clock) -> None:
        self._database = database
        self._callers = callers
        self._clock = clock
        self._base = f"{config.issuer}{ROOT}"
        self._discovery = Discovery(self._base, f"{config.issuer}/help")
        keeper = Keeper(config, linking, clock)
        self._users = Users(keeper, clock)
        self._groups = Groups(keeper, clock)

    def answer(self, request: ScimRequest) -> ScimResponse:
        """Answer one request. Raises StoreUnavailable."""
        source: ScimSettings | None = None
        try:
            source, by = self._callers.source_of(request.headers.get("authorization", ""))
            request = replace(request, by=by)
            try:
                return self._route(request, source)
            except StoreUnavailable as error:
                # The same person is signing in by the joined source at this instant, and was first.
                if error.reason != CONFLICT:
                    raise
                return self._route(request, source)
        except ScimError as error:
            self.record_refusal(request, error, source)
            return scim_response(error.status, error.body, error.headers)

    def record_refusal(self, request: ScimRequest, error: ScimError, source: ScimSettings | None = None) -> None:
        """The Event of a refusal. That a question found nothing is none: sources ask whether somebody is there before they write."""
        if error.status == 404 and request.method not in WRITES:
            return
        details: dict[str, str | int | None] = {
            "method": _shown(request.method, 10),
            "path": _shown(request.path, 100) if source else _begun(request.path),
            "status": error.status,
            "error": error.scim_type,
        }
        with self._database.write() as tx:
            tx.events.append(
                Event(
                    type=EventType.SCIM_REFUSED,
                    at=self._clock.now(),
                    actor=f"connector:{source.name}" if source else "anonymous",
                    origin=request.origin,
                    reason=error.reason,
                    connector=source.name if source else None,
                    details={name: value for name, value in details.items() if value is not None},
                )
            )

    def _route(self, request: ScimRequest, source: ScimSettings) -> ScimResponse:
        first, *rest = request.path.strip("/").split("/")
        name = first.lower()
        if name in DISCOVERY and len(rest) <= 1:
            return self._discover(request, DISCOVERY[name], rest[0] if rest else None)
        if name in NOT_OFFERED:
            raise ScimError(501, f"/{first} is not offered", reason=Reason.SCIM_NOT_OFFERED)
        if name in {SEARCH, ""} and not rest:
            return self._search(request, source, KINDS, is_search=name == SEARCH)
        kind = next((one for one in KINDS if one.endpoint.strip("/").lower() == name), None)
        if kind is None or len(rest) > 1:
            raise not_there("There is no such address")
        if not rest or not rest[0]:
            return self._collection(request, source, kind)
        if rest[0] == SEARCH:
            return self._search(request, source, (kind,), is_search=True)
        return self._one(request, source, kind, resource_id=rest[0])

    def _discover(self, request: ScimRequest, name: str, wanted: str | None) -> ScimResponse:
        if request.method != "GET":
            raise _method("GET")
        if "filter" in {key.lower() for key in request.parameters}:
            raise ScimError(403, "What is offered is not filtered (RFC 7644 section 4)")
        return scim_response(200, self._discovery.answer(name, wanted))

    def _search(self, request: ScimRequest, source: ScimSettings, kinds: tuple[ResourceKind, ...], *, is_search: bool) -> ScimResponse:
        if request.method != ("POST" if is_search else "GET"):
            raise _method("POST" if is_search else "GET")
        sent = request.json(largest=LARGEST) if is_search else request.parameters
        if not isinstance(sent, dict):
            raise ScimError(400, "A search is a JSON object", scim_type="invalidSyntax")
        return self._listed(source, kinds, Question.read(sent))

    def _collection(self, request: ScimRequest, source: ScimSettings, kind: ResourceKind) -> ScimResponse:
        if request.method == "GET":
            return self._listed(source, (kind,), Question.read(request.parameters))
        if request.method != "POST":
            raise _method("GET, POST")
        sent, projection = _sent(request, kind), self._projection(request, kind)
        with self._database.write() as tx:
            written = self._begin(tx, request, source)
            created = self._of(kind).create(tx, written, sent)
            return self._shown(tx, source, kind, created, projection=projection, status=201)

    def _one(self, request: ScimRequest, source: ScimSettings, kind: ResourceKind, *, resource_id: str) -> ScimResponse:
        if request.method == "GET":
            return self._read(request, source, kind, resource_id)
        if request.method not in {"PUT", "PATCH", "DELETE"}:
            raise _method("GET, PUT, PATCH, DELETE")
        sent = None if request.method == "DELETE" else _sent(request, kind)
        projection, if_match = self._projection(request, kind), request.headers.get("if-match")
        of_kind = self._of(kind)
        with self._database.write() as tx:
            written = self._begin(tx, request, source)
            present = _found(tx, source, kind, resource_id)
            if request.method == "DELETE":
                of_kind.delete(tx, written, present, if_match=if_match)
                return scim_response(204, None)
            act = of_kind.replace if request.method == "PUT" else of_kind.patch
            changed = act(tx, written, present, sent=sent, if_match=if_match)
            if kind is GROUPS and request.method == "PATCH" and "attributes" not in {name.lower() for name in request.parameters}:
                # Whoever adds one member does not want to be told of all of them (RFC 7644 section 3.5.2).
                return scim_response(204, None, (("ETag", version_of(changed)),))
            return self._shown(tx, source, kind, changed, projection=projection)

    def _read(self, request: ScimRequest, source: ScimSettings, kind: ResourceKind, resource_id: str) -> ScimResponse:
        projection = self._projection(request, kind)
        with self._database.read() as tx:
            present = _found(tx, source, kind, resource_id)
            known = request.headers.get("if-none-match")
            if known is not None and is_version(present, known):
                return scim_response(304, None, (("ETag", version_of(present)),))
            return self._shown(tx, source, kind, present, projection=projection)

    def _listed(self, source: ScimSettings, kinds: tuple[ResourceKind, ...], question: Question) -> ScimResponse:
        with self._database.read() as tx:
            return scim_response(200, Shelf(tx, source, self._base).answer(kinds, question))

    def _shown(
        self,
        tx: Transaction,
        source: ScimSettings,
        kind: ResourceKind,
        resource: ScimResource,
        *,
        projection: Projection,
        status: int = 200,
    ) -> ScimResponse:
        # As it is now: keeping somebody may have made another version of what was written.
        current = tx.scim.get(source.name, kind.name, resource.id) or resource
        location = ("Location", f"{self._base}{kind.endpoint}/{current.id}")
        body = Shelf(tx, source, self._base).show(kind, current, projection)
        return scim_response(status, body, (("ETag", version_of(current)), location))

    def _begin(self, tx: Transaction, request: ScimRequest, source: ScimSettings) -> Written:
        tx.lock(f"scim {source.name}")
        return Written(source=source, origin=request.origin, heard_at=request.heard_at, by=request.by)

    def _of(self, kind: ResourceKind) -> Users | Groups:
        return self._groups if kind is GROUPS else self._users

    def _projection(self, request: ScimRequest, kind: ResourceKind) -> Projection:
        question = Question.read(request.parameters)
        return Projection((kind,), question.attributes, question.excluded)


def _found(tx: Transaction, source: ScimSettings, kind: ResourceKind, resource_id: str) -> ScimResource:
    found = tx.scim.get(source.name, kind.name, resource_id) if resource_id.isascii() and resource_id.isprintable() else None
    if found is None:
        raise not_there()
    return found


def _sent(request: ScimRequest, kind: ResourceKind) -> Any:
    return request.json(largest=LARGEST if kind is USERS else LARGEST_GROUP)


def _begun(path: str) -> str:
    """What a stranger asked for, without what they wrote themselves: it may be a person's name, or a secret in the wrong place."""
    known = {one.endpoint.lower(): one.endpoint for one in KINDS} | {f"/{name}": f"/{shown}" for name, shown in DISCOVERY.items()}
    return known.get(f"/{path.strip('/').partition('/')[0].lower()}", "")


def _shown(text: str, most: int) -> str:
    return "".join(character for character in text[:most] if character.isprintable())


def _method(allowed: str) -> ScimError:
    return ScimError(405, f"Use {allowed}", headers=(("Allow", allowed),))
