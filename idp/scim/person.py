"""Who a SCIM User is here: the Identity that is made of it, and what becomes of it through Linking, in the transaction that keeps the resource.

Owns the join by a lasting id (the setting `joins`): the externalId is then the id by which another source knows the person, whose Account is theirs,
made or still to be made. Nobody is recognised by an address, a login or a name. Calls idp.signin.linking, which ends what must end.
"""

import base64
import binascii
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from connectors.base import Identity, State
from idp.audit import Author, EventType, Reason
from idp.clock import Clock
from idp.config import Config, EntraProviderSettings, OidcProviderSettings, ScimSettings
from idp.scim.brake import MassBrake
from idp.scim.errors import ScimError, invalid
from idp.scim.resource import text_of
from idp.scim.schema import ENTERPRISE
from idp.scim.written import Written
from idp.signin.linking import Linking, NotKept, OpenEstablishments, open_establishments
from idp.signin.links import LinkRefused, NewLink, link, record, reserve
from idp.store.base import Link, ScimResource
from idp.store.database import Transaction
from policies.lifecycle import GONE, Verdict, is_loss

# Of several addresses or numbers, the one that work is done with.
EMAIL_TYPES = ("work",)
PHONE_TYPES = ("mobile", "work")
ENDING = frozenset({Verdict.SUSPEND, Verdict.HOLD})


@dataclass(frozen=True, slots=True)
class Joined:
    """A person of another source whom the externalId names."""

    connector: str
    subject: str
    kind: Literal["directory", "upstream"]


class Keeper:
    """Keeps people as sources write them. Safe between threads."""

    def __init__(self, config: Config, linking: Linking, clock: Clock) -> None:
        self._linking = linking
        self._clock = clock
        self._brake = MassBrake(config.sync, clock)
        self._directories = {one.name: one for one in config.directories}
        self._providers = {one.name: one for one in config.providers}

    def joined(self, source: ScimSettings, external_id: str | None) -> Joined | None:
        """Whom the externalId names in the joined source; None where nothing is joined. Raises ScimError when it is no such id."""
        if source.joins is None:
            return None
        if not external_id:
            raise invalid(f"externalId is the lasting id of the person in {source.joins}, and is required")
        provider = self._providers.get(source.joins)
        if isinstance(provider, OidcProviderSettings):
            return Joined(source.joins, external_id, "upstream")
        directory = self._directories.get(source.joins)
        if directory is not None and directory.type == "ldap":
            return Joined(source.joins, external_id.strip().lower(), "directory")
        lasting = _guid(external_id)
        if lasting is None:
            raise invalid(f"externalId is the lasting id (a GUID) of the person in {source.joins}")
        if isinstance(provider, EntraProviderSettings):
            return Joined(source.joins, f"{source.joined_tenant or provider.tenants[0]}/{lasting}", "upstream")
        return Joined(source.joins, lasting, "directory")

    def id_of(self, tx: Transaction, source: ScimSettings, external_id: str | None) -> str:
        """The id of a person who is added: the one they had, when the same person of the joined source was deleted here before; else a new one."""
        joined = self.joined(source, external_id)
        owner = tx.links.get(joined.connector, joined.subject) if joined is not None else None
        if owner is not None and owner.ended_at is None:
            for one in tx.links.of_account(owner.account_id):
                if one.connector == source.name and tx.scim.get(source.name, "User", one.subject) is None:
                    return one.subject
        return self._clock.new_id()

    def keep(
        self,
        tx: Transaction,
        written: Written,
        person: ScimResource,
        *,
        groups: Iterable[ScimResource],
        open_at: OpenEstablishments | None = None,
    ) -> Reason | None:
        """Act on what is written of a person; why nothing is kept of them yet, None when it is. SYNC_BRAKE: they are held for a human.

        Raises ScimError (409) when the join leads to an Account that has another person of the source, or none that may be joined; StoreUnavailable.
        """
        source, author = written.source, written.author(person.id)
        open_at = open_at or open_establishments(tx)
        joined = self._joined_if_any(source, person)
        if joined is not None:
            reserve(tx, joined.connector, joined.subject)
        known = tx.links.get(source.name, person.id)
        if known is None:
            if not person.is_active:
                return Reason.DIRECTORY_DISABLED  # nobody is made an Account to be suspended at once
            if joined is None and source.joins is not None:
                return Reason.JOIN_NOT_CONFIRMED
            if joined is not None:
                known = self._join(tx, written, person, joined)
        # Writes of a source come one after another (its lock is held): a clock of another host that is behind must not make this one the older.
        now = self._clock.now()
        identity = identity_of(source.name, person, groups, now if known is None else max(now, known.word_at))
        is_held = known is not None and self._would_lose(tx, known, identity, open_at) and self._brake.holds(tx, written, known)
        try:
            adopted = self._linking.adopt(tx, identity, author, is_signing_in=person.is_active, establishments=open_at)
        except NotKept as refused:
            return Reason(refused.reason)
        if joined is not None and adopted.account.is_active:
            self._foresee(tx, author, adopted.account.id, joined)
        return Reason.SYNC_BRAKE if is_held else None

    def prepare(self, tx: Transaction, source: ScimSettings, people: Iterable[ScimResource]) -> None:
        """Hold everybody who is about to be kept, all at once: a sign-in that holds two of them must not wait for us while we wait for it."""
        accounts: set[str] = set()
        for person in people:
            if (joined := self._joined_if_any(source, person)) is not None:
                reserve(tx, joined.connector, joined.subject)
            if (known := tx.links.get(source.name, person.id)) is not None:
                accounts.add(known.account_id)
        tx.people.hold(*accounts)

    def let_go(self, tx: Transaction, written: Written, subject: str) -> Reason | None:
        """The source has deleted the person: they are gone; SYNC_BRAKE when they are held for a human. Raises StoreUnavailable."""
        known = tx.links.get(written.source.name, subject)
        if known is None or known.ended_at is not None:
            return None
        account = tx.people.get(known.account_id)
        ends = account is not None and self._linking.judge(known, account, GONE, placements=0).verdict in ENDING
        is_held = ends and self._brake.holds(tx, written, known)
        self._linking.apply_word(tx, tx.links.get(known.connector, known.subject) or known, GONE, written.author(subject))
        return Reason.SYNC_BRAKE if is_held else None

    def _would_lose(self, tx: Transaction, known: Link, identity: Identity, open_at: OpenEstablishments) -> bool:
        """Whether the word would suspend the Account, or take from it every place that the source has given."""
        account = tx.people.get(known.account_id)
        if account is None or not account.is_active or known.ended_at is not None:
            return False
        placements = len(self._linking.placements(identity, open_at))
        if self._linking.judge(known, account, str(identity.state), placements=placements).verdict in ENDING:
            return True
        given = [one for one in tx.people.attachments(account.id) if one.source == known.connector and one.ended_at is None]
        return is_loss(len(given), placements)

    def _joined_if_any(self, source: ScimSettings, person: ScimResource) -> Joined | None:
        """Whom the externalId of somebody who was written names; None where it is no such id: the join was asked for after they were written."""
        try:
            return self.joined(source, person.external_id)
        except ScimError:
            return None

    def _join(self, tx: Transaction, written: Written, person: ScimResource, joined: Joined) -> Link | None:
        """Link the person to the Account that the joined source's person has; None when there is none."""
        owner = tx.links.get(joined.connector, joined.subject)
        if owner is None or owner.ended_at is not None:
            return None
        new = NewLink(connector=written.source.name, subject=person.id, kind="pushed", how="immutable_id")
        tx.people.hold(owner.account_id)
        try:
            return link(tx, owner.account_id, new, author=written.author(person.id), clock=self._clock, why="externalId")
        except LinkRefused as refused:
            raise ScimError(
                409,
                "The person whom externalId names cannot be joined: their account is not active, or is another person's of this source",
                scim_type="uniqueness",
                reason=Reason(refused.reason),
            ) from refused

    def _foresee(self, tx: Transaction, author: Author, account_id: str, joined: Joined) -> None:
        """Whoever comes by the joined source as this person is this Account, from their first time on."""
        if tx.links.get(joined.connector, joined.subject) is not None:
            return  # they were unlinked there: only a proven act links them again
        new = NewLink(connector=joined.connector, subject=joined.subject, kind=joined.kind, how="immutable_id")
        try:
            link(tx, account_id, new, author=author, clock=self._clock, why="externalId")
        except LinkRefused as refused:
            reason = Reason(refused.reason)
            record(tx, EventType.ACCOUNT_LINK_REFUSED, account_id, author, connector=joined.connector, clock=self._clock, reason=reason)


def identity_of(connector: str, person: ScimResource, groups: Iterable[ScimResource], seen_at: datetime) -> Identity:
    """What the source says of a person, with the names and ids of their groups."""
    body = person.body
    name, work = body.get("name", {}), body.get(ENTERPRISE, {})
    names: set[str] = set()
    for group in groups:
        names |= {text_of(group.body, "displayName").lower(), group.id.lower(), (group.external_id or "").lower()}
    return Identity(
        connector=connector,
        subject=person.id,
        seen_at=seen_at,
        state=State.USABLE if person.is_active else State.DISABLED,
        username=text_of(body, "userName") or None,
        given_name=text_of(name, "givenName"),
        family_name=text_of(name, "familyName")
        or ("" if name.get("givenName") else text_of(body, "displayName") or text_of(name, "formatted")),
        email=_preferred(body, "emails", EMAIL_TYPES),
        number=text_of(work, "employeeNumber") or None,
        phone_number=_preferred(body, "phoneNumbers", PHONE_TYPES),
        groups=frozenset(names - {""}),
        attributes=_attributes(body),
    )


def _attributes(body: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What mapping rules may ask: the words of a person, by their names in lower case (idp/config/scim.py, ATTRIBUTES)."""
    work = body.get(ENTERPRISE, {})
    said = {
        name: text_of(body, name)
        for name in ("userName", "displayName", "nickName", "title", "userType", "preferredLanguage", "externalId")
    }
    said |= {name: text_of(work, name) for name in ("employeeNumber", "costCenter", "organization", "division", "department")}
    found: dict[str, tuple[str, ...]] = {name.lower(): (text,) for name, text in said.items() if text}
    roles = tuple(text for one in body.get("roles", []) if (text := text_of(one, "value")))
    if roles:
        found["roles"] = roles
    if (email := _preferred(body, "emails", EMAIL_TYPES)) is not None:
        found["email"] = (email,)
    return found


def _preferred(body: Mapping[str, Any], name: str, types: tuple[str, ...]) -> str | None:
    """The value of a multi-valued attribute that is primary, else the first of the types, else the first."""
    values = [one for one in body.get(name, []) if text_of(one, "value")]
    ranked = sorted(values, key=lambda one: (one.get("primary") is not True, _rank(text_of(one, "type").lower(), types)))
    return text_of(ranked[0], "value") if ranked else None


def _rank(kind: str, types: tuple[str, ...]) -> int:
    return types.index(kind) if kind in types else len(types)


def _guid(text: str) -> str | None:
    """A GUID as sources' people are kept by, written as one or as the base64 of its bytes (Entra Connect's immutable id); None when it is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        pass
    try:
        return str(uuid.UUID(bytes_le=base64.b64decode(text, validate=True)))
    except (binascii.Error, ValueError):
        return None
