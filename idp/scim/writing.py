"""Resources as rows: added, changed when they are the version that was meant, and the Event of it (RFC 7644 sections 3.3, 3.5 and 3.14).

Owns what people and groups have in common; what a write of a person means is users.py's, of a group groups.py's. Works in the caller's transaction.
"""

from collections.abc import Mapping
from datetime import datetime

from idp.audit import Event, EventType, Reason
from idp.scim.errors import ScimError
from idp.scim.resource import Body, folded, is_version
from idp.scim.schema import EXTERNAL_ID, ResourceKind
from idp.scim.written import Written
from idp.store.base import ScimResource
from idp.store.database import Transaction


def make(tx: Transaction, kind: ResourceKind, written: Written, *, resource_id: str, body: Body, now: datetime) -> ScimResource:
    """A new resource, kept. Raises ScimError (409, uniqueness)."""
    resource = ScimResource(
        id=resource_id,
        connector=written.source.name,
        kind=kind.name,
        name=folded(body[kind.key]),
        external_id=body.get(EXTERNAL_ID.name),
        is_active=body.get("active", True),
        body=body,
        version=1,
        created_at=now,
        changed_at=now,
    )
    _check_free(tx, kind, resource)
    tx.scim.add(resource)
    return resource


def change(tx: Transaction, kind: ResourceKind, present: ScimResource, *, body: Body, now: datetime) -> ScimResource:
    """The resource with another body, kept; the same one when it says nothing new. Raises ScimError (409, uniqueness)."""
    if body == present.body:
        return present
    changed = ScimResource(
        id=present.id,
        connector=present.connector,
        kind=present.kind,
        name=folded(body[kind.key]),
        external_id=body.get(EXTERNAL_ID.name),
        is_active=body.get("active", present.is_active),
        body=body,
        version=present.version + 1,
        created_at=present.created_at,
        changed_at=now,
    )
    _check_free(tx, kind, changed)
    names = ("name", "external_id", "is_active", "version", "changed_at")
    tx.scim.change(present.id, body=dict(body), **{name: getattr(changed, name) for name in names})
    return changed


def check_version(present: ScimResource, if_match: str | None) -> None:
    """Raises ScimError (412) when the caller means another version (If-Match)."""
    if if_match is not None and not is_version(present, if_match):
        raise ScimError(412, "The resource was changed meanwhile: read it again", reason=Reason.SCIM_CHANGED_MEANWHILE)


def record(
    tx: Transaction, written: Written, resource: ScimResource, what: str, *, now: datetime, details: Mapping[str, str | int | bool | None]
) -> None:
    """The Event of a write."""
    author = written.author()
    account_id = None
    if resource.kind == "User" and (known := tx.links.get(written.source.name, resource.id)) is not None:
        account_id = known.account_id
    kept = {name: value for name, value in details.items() if value is not None}
    tx.events.append(
        Event(
            type=EventType.SCIM_CHANGED,
            at=now,
            actor=author.actor,
            origin=author.origin,
            account_id=account_id,
            connector=written.source.name,
            details={"kind": resource.kind, "resource": resource.id, "what": what, "by": written.by, **kept},
        )
    )


def _check_free(tx: Transaction, kind: ResourceKind, resource: ScimResource) -> None:
    """Within a source a login, a group's name and an externalId are of one: mapping and matching could not tell a second one apart."""
    other = tx.scim.by_name(resource.connector, kind.name, resource.name)
    if other is not None and other.id != resource.id:
        raise ScimError(409, f"Another {kind.name} has this {kind.key}", scim_type="uniqueness", reason=Reason.SCIM_CONFLICT)
    if resource.external_id is not None:
        others = tx.scim.by_external_id(resource.connector, kind.name, resource.external_id)
        if any(one.id != resource.id for one in others):
            raise ScimError(409, f"Another {kind.name} has this externalId", scim_type="uniqueness", reason=Reason.SCIM_CONFLICT)
