"""The registry: which establishments and clients there are, from the configuration file and from commands.

`apply` writes the file's to the store at start, in one transaction, and does nothing when nothing changed. What the file no longer names ends,
with its Grants, through idp.endings. Commands own what the file does not (source "operator"); neither touches the other's. Secrets are kept as
digests only.
"""

import hashlib
import json
from dataclasses import dataclass, field

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.config import ClientSettings, Config, EstablishmentSettings
from idp.config.checks import LOGO_TYPES
from idp.crypto import digest
from idp.endings import Cause, Ended, end_client_grants, end_grant, end_session
from idp.errors import VestibuleError
from idp.store.base import Client, Establishment
from idp.store.database import Database, Transaction
from idp.zones import end_zone, move_days, put_configured

CONFIGURATION, OPERATOR = "config", "operator"
REVISION = "registry"
SECRET_PREFIX = "vestibule_cs_"  # noqa: S105 - lets a secret scanner recognise ours in a repository or a log


class RegistryRefused(VestibuleError):
    """The change makes no sense; `detail` says why, in English, for an operator."""


@dataclass(slots=True)
class Applied:
    """What `apply` did; `is_new` is False when the configuration had been applied before."""

    is_new: bool = False
    changed: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    ended: Ended = field(default_factory=Ended)


def apply(database: Database, config: Config, author: Author, *, clock: Clock) -> Applied:
    """Make the store say what the configuration says of establishments and clients."""
    wanted = _fingerprint(config)
    with database.read() as tx:
        present = tx.revisions.get(CONFIGURATION)
    if present is not None and present.digest == wanted:
        return Applied()
    applied = Applied(is_new=True)
    with database.write() as tx:
        tx.lock("registry")
        present = tx.revisions.get(CONFIGURATION)
        if present is not None and present.digest == wanted:
            return Applied()  # another process was first
        for settings in config.establishments:
            if put_establishment(tx, settings, author, source=CONFIGURATION, clock=clock):
                applied.changed.append(settings.slug)
        for client in config.clients:
            secret = digest(client.secret) if client.secret else None
            if put_client(tx, client, author, secret_digest=secret, source=CONFIGURATION, clock=clock):
                applied.changed.append(client.client_id)
        _withdraw(tx, config, author, applied, clock=clock)
        tx.revisions.advance(CONFIGURATION, digest=wanted)
        details = {"changed": len(applied.changed), "withdrawn": len(applied.withdrawn), "grants": applied.ended.grants}
        tx.events.append(
            Event(type=EventType.CONFIGURATION_APPLIED, at=clock.now(), actor=author.actor, origin=author.origin, details=details)
        )
    return applied


def put_establishment(
    tx: Transaction, settings: EstablishmentSettings, author: Author, *, source: str, clock: Clock, keeps_logo: bool = False
) -> bool:
    """Add or change an establishment; whether anything changed. The file takes over one that a command had added.

    Its zones are written when the file says them; a command has `vestibule zone` for its own.
    """
    tx.lock("registry")
    present = tx.establishments.by_slug(settings.slug)
    stored = tx.establishments.logo(settings.slug)
    logo, logo_type = stored if keeps_logo and stored else _read_logo(settings)
    values = {
        "name": settings.name,
        "finess": settings.finess,
        "siret": settings.siret,
        "time_zone": settings.time_zone,
        "contact_name": settings.contact.name,
        "contact_phone": settings.contact.phone,
        "contact_email": settings.contact.email,
        "logo_type": logo_type,
        "regulatory_level": settings.regulatory_level,
        "windows_approval": settings.windows_approval,
        "remember_device_days": settings.remember_device.days,
        "enrolment_grace_days": settings.enrolment_grace.days,
        "source": source,
        "ended_at": None,
    }
    if present is None:
        added = Establishment(id=clock.new_id(), slug=settings.slug, created_at=clock.now(), **values)  # type: ignore[arg-type]  # a mapping of fields
        tx.establishments.add(added, logo=logo)
        changed = ["registered"]
        establishment_id = added.id
    else:
        changed = [name for name, value in values.items() if getattr(present, name) != value]
        if (stored[0] if stored else None) != logo:
            changed.append("logo")
        if changed:
            tx.establishments.change(present.id, {**values, "logo": logo})
        establishment_id = present.id
    if changed:
        _changed(tx, EventType.ESTABLISHMENT_CHANGED, author, clock=clock, establishment_id=establishment_id, changed=changed)
    written = tx.establishments.get(establishment_id)
    has_zones_changed = False
    if written is not None:
        if "time_zone" in changed:
            move_days(tx, written, author, clock=clock)
        if source == CONFIGURATION:
            has_zones_changed = put_configured(tx, written, settings.zones, author, clock=clock)
    return bool(changed) or has_zones_changed


def put_client(tx: Transaction, settings: ClientSettings, author: Author, *, secret_digest: str | None, source: str, clock: Clock) -> bool:
    """Add or change a client; whether anything changed. The file takes over one that a command had added."""
    tx.lock("registry")
    before = tx.clients.get(settings.client_id)
    if not tx.clients.put(settings, secret_digest=secret_digest, source=source, now=clock.now()):
        return False
    old = before.settings.model_dump(mode="json", exclude={"secret"}) if before else {}
    new = settings.model_dump(mode="json", exclude={"secret"})
    changed = [name for name, value in new.items() if old.get(name) != value] if before else ["registered"]
    if before and before.secret_digest != secret_digest:
        changed.append("secret")
    _changed(tx, EventType.CLIENT_CHANGED, author, clock=clock, client_id=settings.client_id, changed=changed)
    return True


def end_client(tx: Transaction, client_id: str, author: Author, *, clock: Clock) -> Ended:
    """Withdraw a client and end its Grants; raises RegistryRefused when it is unknown or had ended."""
    tx.lock("registry")
    if not tx.clients.end(client_id, clock.now()):
        raise RegistryRefused("no_such_client", f"no client {client_id!r}, or it was withdrawn before")
    ended = end_client_grants(tx, client_id, Cause(Reason.CLIENT_WITHDRAWN, author.actor, author.origin), clock=clock)
    tx.revisions.advance(REVISION)
    tx.events.append(
        Event(
            type=EventType.CLIENT_ENDED,
            at=clock.now(),
            actor=author.actor,
            origin=author.origin,
            client_id=client_id,
            details={"grants": ended.grants},
        )
    )
    return ended


def end_establishment(tx: Transaction, establishment: Establishment, author: Author, *, clock: Clock) -> Ended:
    """End an establishment, and the Sessions and Grants that stand on it."""
    tx.lock("registry")
    for zone in tx.zones.of(establishment.id):
        end_zone(tx, establishment, zone, author, clock=clock)
    there = {session.account_id for session in tx.sessions.open_at(establishment.id)}
    tx.people.hold(*there, *(grant.account_id for grant in tx.grants.open_at(establishment.id)))
    tx.establishments.end(establishment.id, clock.now())
    cause = Cause.by(author, Reason.ATTACHMENT_LOST)
    ended = Ended()
    for session in tx.sessions.open_at(establishment.id):
        ended += end_session(tx, session, cause, clock=clock)
    for grant in tx.grants.open_at(establishment.id):
        ended += end_grant(tx, grant, cause, clock=clock)
    _changed(tx, EventType.ESTABLISHMENT_CHANGED, author, clock=clock, establishment_id=establishment.id, changed=["ended"])
    return ended


def new_secret(clock: Clock) -> str:
    """A client secret of 256 random bits, with a prefix that secret scanners can look for."""
    return SECRET_PREFIX + clock.new_token()


def rotate_secret(tx: Transaction, client: Client, author: Author, *, clock: Clock) -> str:
    """Give a client a new secret; the old one stops at once. Raises RegistryRefused when it has none, or the file owns it."""
    refuse_if_configured(client.source, client.client_id)
    if client.secret_digest is None:
        raise RegistryRefused(
            "no_secret", f"{client.client_id} proves itself by {client.settings.token_endpoint_auth_method}, not by a secret"
        )
    secret = new_secret(clock)
    put_client(tx, client.settings, author, secret_digest=digest(secret), source=client.source, clock=clock)
    return secret


def refuse_if_configured(source: str, name: str) -> None:
    """RegistryRefused when a command would change what the configuration file owns: the next start would undo it."""
    if source == CONFIGURATION:
        raise RegistryRefused("belongs_to_configuration", f"{name} is in the configuration file: change it there")


def _read_logo(settings: EstablishmentSettings) -> tuple[bytes | None, str | None]:
    if settings.logo is None:
        return None, None
    return settings.logo.read_bytes(), LOGO_TYPES[settings.logo.suffix.lower()]


def _withdraw(tx: Transaction, config: Config, author: Author, applied: Applied, *, clock: Clock) -> None:
    slugs = {settings.slug for settings in config.establishments}
    for establishment in tx.establishments.all():
        if establishment.source == CONFIGURATION and establishment.slug not in slugs:
            applied.ended += end_establishment(tx, establishment, author, clock=clock)
            applied.withdrawn.append(establishment.slug)
    ids = {client.client_id for client in config.clients}
    for client in tx.clients.all():
        if client.source == CONFIGURATION and client.ended_at is None and client.client_id not in ids:
            applied.ended += end_client(tx, client.client_id, author, clock=clock)
            applied.withdrawn.append(client.client_id)


def _changed(tx: Transaction, kind: EventType, author: Author, *, clock: Clock, changed: list[str], **ids: str) -> None:
    tx.revisions.advance(REVISION)
    details = {"changed": " ".join(changed)}
    tx.events.append(Event(type=kind, at=clock.now(), actor=author.actor, origin=author.origin, details=details, **ids))  # type: ignore[arg-type]  # ids are columns of an Event


def _fingerprint(config: Config) -> str:
    establishments = [
        {
            **settings.model_dump(mode="json", exclude={"logo"}),
            "logo": hashlib.sha256(settings.logo.read_bytes()).hexdigest() if settings.logo else None,
        }
        for settings in config.establishments
    ]
    clients = [
        {**client.model_dump(mode="json", exclude={"secret"}), "secret": digest(client.secret) if client.secret else None}
        for client in config.clients
    ]
    return digest(json.dumps([establishments, clients], sort_keys=True))
