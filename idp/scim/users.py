"""SCIM Users: added, replaced, patched and deleted, each kept and acted on in one transaction (RFC 7644 section 3).

active=false suspends the Account and ends what it has open; DELETE says that the person is gone. Somebody whom no mapping rule places is kept as
written, and becomes an Account when a group or an attribute places them. Calls person.py.
"""

from typing import Any

from idp.audit import Reason
from idp.clock import Clock
from idp.config import ScimSettings
from idp.scim.errors import invalid
from idp.scim.patch import apply, read_operations
from idp.scim.person import Keeper
from idp.scim.resource import read_body
from idp.scim.schema import USERS
from idp.scim.writing import change, check_version, make, record
from idp.scim.written import Written
from idp.store.base import ScimResource
from idp.store.database import Transaction


class Users:
    """The people of sources."""

    kind = USERS

    def __init__(self, keeper: Keeper, clock: Clock) -> None:
        self._keeper = keeper
        self._clock = clock

    def create(self, tx: Transaction, written: Written, sent: Any) -> ScimResource:
        """POST. Raises ScimError, StoreUnavailable."""
        body = read_body(USERS, sent)
        resource_id = self._keeper.id_of(tx, written.source, body.get("externalId"))
        person = make(tx, USERS, written, resource_id=resource_id, body=body, now=self._clock.now())
        self._keep(tx, written, person, "created")
        return person

    def replace(self, tx: Transaction, written: Written, present: ScimResource, *, sent: Any, if_match: str | None) -> ScimResource:
        """PUT. Raises ScimError, StoreUnavailable."""
        check_version(present, if_match)
        body = read_body(USERS, sent)
        if "active" in present.body:
            # Who was disabled is not let in again by silence.
            body.setdefault("active", present.body["active"])
        return self._change(tx, written, present, body=body, what="replaced")

    def patch(self, tx: Transaction, written: Written, present: ScimResource, *, sent: Any, if_match: str | None) -> ScimResource:
        """PATCH. Raises ScimError, StoreUnavailable."""
        check_version(present, if_match)
        body = apply(USERS, dict(present.body), read_operations(USERS, sent))
        return self._change(tx, written, present, body=body, what="patched")

    def delete(self, tx: Transaction, written: Written, present: ScimResource, *, if_match: str | None) -> None:
        """DELETE. Raises ScimError, StoreUnavailable."""
        check_version(present, if_match)
        groups = tx.scim.groups_of([present.id])[present.id]
        tx.scim.touch([group.id for group in groups], self._clock.now())
        unkept = self._keeper.let_go(tx, written, present.id)
        record(tx, written, present, "deleted", now=self._clock.now(), details={"unkept": str(unkept) if unkept else None})
        tx.scim.remove(present.id)

    def _change(self, tx: Transaction, written: Written, present: ScimResource, *, body: dict[str, Any], what: str) -> ScimResource:
        self._check_same(tx, written.source, present, body.get("externalId"))
        person = change(tx, USERS, present, body=body, now=self._clock.now())
        self._keep(tx, written, person, what, before=present)
        return person

    def _check_same(self, tx: Transaction, source: ScimSettings, present: ScimResource, external_id: str | None) -> None:
        """Raises ScimError (mutability) when somebody who is linked here would be joined to another person from now on."""
        if source.joins is None or external_id == present.external_id:
            return
        wanted = self._keeper.joined(source, external_id)
        if tx.links.get(source.name, present.id) is not None and wanted != self._keeper.joined(source, present.external_id):
            raise invalid("externalId is the lasting id of the person, who is not another one now", "mutability")

    def _keep(self, tx: Transaction, written: Written, person: ScimResource, what: str, *, before: ScimResource | None = None) -> None:
        groups = tx.scim.groups_of([person.id])[person.id]
        unkept: Reason | None = self._keeper.keep(tx, written, person, groups=groups)
        if before is not None and before.version == person.version:
            return
        details = {"active": person.is_active, "unkept": str(unkept) if unkept else None}
        record(tx, written, person, what, now=self._clock.now(), details=details)
