"""SCIM Groups: added, replaced, patched and deleted, with everybody whose membership changes acted on in the same transaction (RFC 7644 section 3).

A group places its members by its name: who comes to it or leaves it, and all of them when it is renamed, are adopted again. Members are people of the
source, never other groups. Both forms of removal are taken: members[value eq "..."], and members with a list of values (Microsoft Entra ID).
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from idp.clock import Clock
from idp.scim.errors import invalid
from idp.scim.filter import Compare, Either, Filter
from idp.scim.patch import Operation, apply, read_operations
from idp.scim.person import Keeper
from idp.scim.resource import is_storable, read_body
from idp.scim.schema import GROUPS, MEMBERS
from idp.scim.writing import change, check_version, make, record
from idp.scim.written import Written
from idp.signin.linking import open_establishments
from idp.store.base import ScimResource
from idp.store.database import Transaction

MOST_MEMBERS = 20_000


class Groups:
    """The groups of sources."""

    kind = GROUPS

    def __init__(self, keeper: Keeper, clock: Clock) -> None:
        self._keeper = keeper
        self._clock = clock

    def create(self, tx: Transaction, written: Written, sent: Any) -> ScimResource:
        """POST. Raises ScimError, StoreUnavailable."""
        body = read_body(GROUPS, sent)
        group = make(tx, GROUPS, written, resource_id=self._clock.new_id(), body=body, now=self._clock.now())
        return self._settle(tx, written, group, before=None, members=_named(_members_of(sent)), what="created")

    def replace(self, tx: Transaction, written: Written, present: ScimResource, *, sent: Any, if_match: str | None) -> ScimResource:
        """PUT: without `members` nobody is in it any more. Raises ScimError, StoreUnavailable."""
        check_version(present, if_match)
        group = change(tx, GROUPS, present, body=read_body(GROUPS, sent), now=self._clock.now())
        return self._settle(tx, written, group, before=present, members=_named(_members_of(sent)), what="replaced")

    def patch(self, tx: Transaction, written: Written, present: ScimResource, *, sent: Any, if_match: str | None) -> ScimResource:
        """PATCH. Raises ScimError, StoreUnavailable."""
        check_version(present, if_match)
        operations = read_operations(GROUPS, sent)
        of_members = [one for one in operations if one.is_of_members]
        body = apply(GROUPS, dict(present.body), tuple(one for one in operations if not one.is_of_members))
        members = set(tx.scim.member_ids(present.id)) if of_members else None
        if members is not None:
            for operation in of_members:
                _move(members, operation)
        group = change(tx, GROUPS, present, body=body, now=self._clock.now())
        return self._settle(tx, written, group, before=present, members=members, what="patched")

    def delete(self, tx: Transaction, written: Written, present: ScimResource, *, if_match: str | None) -> None:
        """DELETE: nobody is in it any more. Raises ScimError, StoreUnavailable."""
        check_version(present, if_match)
        members = tx.scim.member_ids(present.id)
        tx.scim.remove(present.id)
        self._adopt(tx, written, members)
        record(tx, written, present, "deleted", now=self._clock.now(), details={"members": len(members)})

    def _settle(
        self,
        tx: Transaction,
        written: Written,
        group: ScimResource,
        *,
        before: ScimResource | None,
        members: Collection[str] | None,
        what: str,
    ) -> ScimResource:
        """Keep who is in the group, None: as before; and act on everybody for whom that changes anything."""
        present = tx.scim.member_ids(group.id) if before is not None else frozenset()
        wanted = present if members is None else frozenset(members)
        come, left = wanted - present, present - wanted
        known = {one.id for one in tx.scim.people(group.connector, come)}
        if known != come:
            raise invalid("A member is nobody of this source: members are the ids of Users")
        tx.scim.remove_members(group.id, left)
        tx.scim.add_members(group.id, come)
        is_renamed = before is not None and (before.name, before.external_id) != (group.name, group.external_id)
        touched = wanted | left if is_renamed else come | left
        now = self._clock.now()
        if (come or left) and before is not None and before.version == group.version:
            group = replace(group, version=group.version + 1, changed_at=now)
            tx.scim.change(group.id, version=group.version, changed_at=now)
        self._adopt(tx, written, touched)
        if before is None or group.version != before.version:
            details: dict[str, str | int | bool | None] = {"name": group.name, "come": len(come), "left": len(left)}
            record(tx, written, group, what, now=now, details=details)
        return group

    def _adopt(self, tx: Transaction, written: Written, people: Collection[str]) -> None:
        if not people:
            return
        tx.scim.touch(people, self._clock.now())
        groups, open_at = tx.scim.groups_of(people), open_establishments(tx)
        found = tx.scim.people(written.source.name, people)
        self._keeper.prepare(tx, written.source, found)
        for person in found:
            self._keeper.keep(tx, written, person, groups=groups[person.id], open_at=open_at)


def _members_of(sent: Any) -> Any:
    return next((value for name, value in sent.items() if name.lower() == "members"), None) if isinstance(sent, dict) else None


def _named(value: Any) -> set[str]:
    """The ids that a value of `members` names: objects with a `value`, or bare ids. Raises ScimError (invalidValue)."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if len(values) > MOST_MEMBERS:
        raise invalid(f"At most {MOST_MEMBERS} members are named at once")
    found: set[str] = set()
    for one in values:
        said = {name.lower(): part for name, part in one.items()} if isinstance(one, dict) else {"value": one}
        if not isinstance(said.get("value"), str) or not said["value"] or not is_storable(said["value"]):
            raise invalid("A member is named by its id, in `value`")
        kind = said.get("type") or "User"
        if not isinstance(kind, str) or kind.lower() != "user":
            raise invalid("Members are people: a group is not put in a group")
        found.add(said["value"])
    return found


def _move(members: set[str], operation: Operation) -> None:
    """Do an operation on who is in the group."""
    if operation.sub is not None or (operation.chosen is not None and operation.verb != "remove"):
        raise invalid(f"{MEMBERS.name} are added and removed, not changed", "mutability")
    if operation.chosen is not None:
        members -= _chosen(operation.chosen)
        return
    named = _named(operation.value)
    if operation.verb == "add":
        members |= named
    elif operation.verb == "replace":
        members.clear()
        members |= named
    elif operation.value is None:
        members.clear()
    else:
        members -= named


def _chosen(asked: Filter) -> set[str]:
    """Who is chosen by members[...]: by the id alone, so that no request asks something of thousands a thousand times. Raises ScimError."""
    if isinstance(asked, Either):
        return _chosen(asked.left) | _chosen(asked.right)
    if isinstance(asked, Compare) and asked.operator == "eq" and isinstance(asked.value, str):
        attribute = asked.place.attribute
        if attribute is not None and attribute.name == "value":
            return {asked.value}
    raise invalid('Members are chosen by their ids: members[value eq "..."]', "invalidFilter")
