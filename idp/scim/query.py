"""Questions about a source's people and groups (RFC 7644 section 3.4): one by its id, or a page of those that a filter asks for.

A filter that says what equals what in an id, a login, a group's name or an externalId is answered from an index; any other reads everything once.
Answers are in the order in which resources were added: sorting is not offered.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from idp.config import ScimSettings
from idp.scim.discovery import MOST_RESULTS, listed
from idp.scim.errors import ScimError, invalid
from idp.scim.filter import Filter, asks_of, equalities, holds, parse
from idp.scim.resource import Body, Projection, folded, is_storable, shown
from idp.scim.schema import GROUPS, USERS, ResourceKind
from idp.store.base import ScimResource
from idp.store.database import Transaction

USUAL_RESULTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query, as its parameters or the body of /.search say it. `start` counts from 1. `count`: at most so many."""

    filter: str | None = None
    start: int = 1
    count: int = USUAL_RESULTS
    attributes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def read(cls, sent: Mapping[str, Any]) -> "Question":
        """Of parameters, or of JSON. Raises ScimError (invalidValue)."""
        named = {name.lower(): value for name, value in sent.items()}
        asked = named.get("filter")
        if asked is not None and not isinstance(asked, str):
            raise invalid("filter is a string", "invalidFilter")
        return cls(
            filter=asked,
            start=max(1, _number(named.get("startindex"), 1)),
            count=min(MOST_RESULTS, max(0, _number(named.get("count"), USUAL_RESULTS))),
            attributes=_names(named.get("attributes")),
            excluded=_names(named.get("excludedattributes")),
        )


class Shelf:
    """One source's resources, to read; in one transaction."""

    def __init__(self, tx: Transaction, source: ScimSettings, base: str) -> None:
        self._tx = tx
        self._source = source
        self._base = base

    def show(self, kind: ResourceKind, resource: ScimResource, projection: Projection) -> Body:
        """One resource as it is asked for."""
        return self._show_all(kind, (resource,), projection)[0]

    def answer(self, kinds: tuple[ResourceKind, ...], question: Question) -> dict[str, Any]:
        """A page of the resources that are asked for. Raises ScimError (invalidFilter, invalidValue)."""
        projection = Projection(kinds, question.attributes, question.excluded)
        total, found = self._found(kinds, question)
        resources: list[Body] = []
        for kind in kinds:
            resources += self._show_all(kind, tuple(one for of, one in found if of is kind), projection)
        return listed(resources, total=total, start=question.start)

    def _found(self, kinds: tuple[ResourceKind, ...], question: Question) -> tuple[int, list[tuple[ResourceKind, ScimResource]]]:
        """How many there are, and those of the page."""
        first, last = question.start - 1, question.start - 1 + question.count
        total = 0
        page: list[tuple[ResourceKind, ScimResource]] = []
        for kind, asked in self._filters(kinds, question.filter):
            if asked is None:
                here = self._tx.scim.count(self._source.name, kind.name)
                offset, limit = max(0, first - total), min(question.count, max(0, last - total))
                if limit and offset < here:
                    page += [(kind, one) for one in self._tx.scim.page(self._source.name, kind.name, offset=offset, limit=limit)]
                    page = page[: question.count]
                total += here
                continue
            for one in self._matching(kind, asked):
                if first <= total < last:
                    page.append((kind, one))
                total += 1
        return total, page

    def _filters(self, kinds: tuple[ResourceKind, ...], text: str | None) -> Iterator[tuple[ResourceKind, Filter | None]]:
        """The filter for each kind; of several, those that have no such attribute are passed over (section 3.4.2.1)."""
        if text is None:
            yield from ((kind, None) for kind in kinds)
            return
        understood, problem = 0, None
        for kind in kinds:
            try:
                asked = parse(text, kind)
            except ScimError as error:
                problem = error
                continue
            understood += 1
            yield kind, asked
        if not understood and problem is not None:
            raise problem

    def _matching(self, kind: ResourceKind, asked: Filter) -> Iterator[ScimResource]:
        for batch in self._candidates(kind, asked):
            wholes = self._wholes(kind, batch, needs_others=asks_of(asked, "groups") or asks_of(asked, "members"))
            yield from (one for one, whole in zip(batch, wholes, strict=True) if holds(asked, whole))

    def _candidates(self, kind: ResourceKind, asked: Filter) -> Iterable[tuple[ScimResource, ...]]:
        for place, value in equalities(asked):
            if place.attribute is None or place.sub is not None or place.extension is not None or not isinstance(value, str):
                continue
            if not is_storable(value):
                return []
            if place.attribute.name == "id":
                return [_some(self._tx.scim.get(self._source.name, kind.name, value))]
            if place.attribute.name == kind.key:
                return [_some(self._tx.scim.by_name(self._source.name, kind.name, folded(value)))]
            if place.attribute.name == "externalId":
                return [self._tx.scim.by_external_id(self._source.name, kind.name, value)]
        return self._tx.scim.batches(self._source.name, kind.name)

    def _show_all(self, kind: ResourceKind, resources: tuple[ScimResource, ...], projection: Projection) -> list[Body]:
        needs_others = projection.wants(kind, "groups" if kind is USERS else "members")
        return [projection.apply(kind, whole) for whole in self._wholes(kind, resources, needs_others=needs_others)]

    def _wholes(self, kind: ResourceKind, resources: tuple[ScimResource, ...], *, needs_others: bool) -> list[Body]:
        """Whole representations; with people's groups and groups' members where they are needed."""
        wholes = [shown(kind, one, self._base) for one in resources]
        if not needs_others or not resources:
            return wholes
        if kind is USERS:
            groups = self._tx.scim.groups_of([one.id for one in resources])
            for whole in wholes:
                if of := groups[whole["id"]]:
                    whole["groups"] = [self._group(one) for one in of]
        else:
            for whole in wholes:
                if members := sorted(self._tx.scim.member_ids(whole["id"])):
                    whole["members"] = [self._member(one) for one in members]
        return wholes

    def _group(self, group: ScimResource) -> Body:
        address = f"{self._base}{GROUPS.endpoint}/{group.id}"
        return {"value": group.id, "$ref": address, "display": group.body.get("displayName"), "type": "direct"}

    def _member(self, user_id: str) -> Body:
        return {"value": user_id, "$ref": f"{self._base}{USERS.endpoint}/{user_id}", "type": "User"}


def _some(resource: ScimResource | None) -> tuple[ScimResource, ...]:
    return () if resource is None else (resource,)


def _number(value: Any, default: int) -> int:
    if value is None or value == "":
        return default
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if len(text) > 12 or not text.isascii() or not text.removeprefix("-").isdigit():
        raise invalid("startIndex and count are whole numbers")
    return int(text)


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names) or len(names) > 200:
        raise invalid("attributes and excludedAttributes are lists of names")
    return tuple(one.strip() for one in names)
