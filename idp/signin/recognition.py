"""Whose Account somebody is who came by an upstream provider: linked already, the same person as in the joined directory, placed by a rule, or a
stranger to be linked by a proven act.

Owns the order of these questions, in transactions of its own. The directory itself confirms whom a provider's immutable id names; nobody is
recognised by an address, a name or a number. Links are made by links.py, people written by linking.py; the LINK step is the dispatcher's. Called by
upstream.py.
"""

import base64
import binascii
import uuid
from dataclasses import dataclass

import structlog

from connectors.base import Arrival, Identity, SourceMisbehaved, SourceUnreachable, State
from idp.audit import Author, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.config.directories import AnyProvider
from idp.crypto import Keyring
from idp.errors import StoreUnavailable
from idp.signin.directories import REASON_OF_STATE, Directories
from idp.signin.interaction import PendingLink
from idp.signin.linking import CONFLICT, Adopted, Linking, NotKept
from idp.signin.links import LinkRefused, NewLink, link, record, reserve
from idp.signin.refresh_seal import seal_refresh_token
from idp.store.database import Database, Transaction
from policies.lifecycle import lets_stay

IMMUTABLE_ID = "onpremisesimmutableid"
SYNCHRONISED, THEIR_SECURITY_ID, SECURITY_ID, TENANT = "onpremisessyncenabled", "onpremisessecurityidentifier", "objectsid", "tid"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody whom a provider vouches for and who is nobody here: why, and what is kept until they prove to be one of ours.

    `pending` is None where no proof of theirs would help: the join itself is refused, or cannot be looked at now.
    """

    identity: Identity
    reason: Reason
    pending: PendingLink | None


class _NoTwin(Exception):
    """The provider names a person of the joined directory, and the directory does not say yes. `is_final`: no proof would help."""

    def __init__(self, reason: Reason, *, is_final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final


class Recogniser:
    """Recognises people of upstream providers. Safe between threads."""

    def __init__(
        self, config: Config, database: Database, directories: Directories, linking: Linking, keyring: Keyring, *, clock: Clock
    ) -> None:
        self._providers: dict[str, AnyProvider] = {provider.name: provider for provider in config.providers}
        self._database = database
        self._directories = directories
        self._linking = linking
        self._keyring = keyring
        self._clock = clock

    def recognise(self, arrival: Arrival, origin: Origin, *, may_create: bool = True) -> Adopted | Stranger:
        """Whose Account it is. `may_create`: somebody unknown whom a rule places gets one. Raises StoreUnavailable."""
        author = Author(f"connector:{arrival.identity.connector}", origin)
        for attempt in (1, 2):
            try:
                return self._recognise(arrival, author, may_create=may_create)
            except StoreUnavailable as error:
                if error.reason != CONFLICT or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def hear_no(self, connector: str, subject: str, state: State, *, origin: Origin) -> None:
        """Keep the no that a provider has just said of somebody; nothing to keep of whoever is not linked. Raises StoreUnavailable."""
        if lets_stay(state):
            return
        with self._database.write() as tx:
            known = tx.links.get(connector, subject)
            if known is not None and known.ended_at is None:
                self._linking.apply_word(tx, known, str(state), Author(f"connector:{connector}", origin))

    def _recognise(self, arrival: Arrival, author: Author, *, may_create: bool) -> Adopted | Stranger:
        identity = arrival.identity
        settings = self._providers[identity.connector]
        may_create = may_create and settings.creates_accounts
        with self._database.read() as tx:
            known = tx.links.get(identity.connector, identity.subject)
        if known is not None and known.ended_at is not None:
            return Stranger(identity, Reason.UNLINKED, self._pending(arrival))
        try:
            if known is not None:
                return self._adopt(arrival, author)
            twin = self._twin(identity, settings)
            if twin is not None:
                return self._join(arrival, twin, author, may_create=may_create)
            if may_create:
                return self._adopt(arrival, author)
        except NotKept as unknown:
            return Stranger(identity, Reason(unknown.reason), self._pending(arrival))
        except _NoTwin as refused:
            self._refuse(identity, refused.reason, author)
            return Stranger(identity, refused.reason, None if refused.is_final else self._pending(arrival))
        except LinkRefused as refused:
            self._refuse(identity, Reason(refused.reason), author)
            return Stranger(identity, Reason(refused.reason), None)
        return Stranger(identity, Reason.NOTHING_GRANTS, self._pending(arrival))

    def _adopt(self, arrival: Arrival, author: Author) -> Adopted:
        with self._database.write() as tx:
            reserve(tx, arrival.identity.connector, arrival.identity.subject)
            adopted = self._linking.adopt(tx, arrival.identity, author, is_signing_in=True)
            self._keep_refresh(tx, arrival)
            return adopted

    # The joined directory

    def _twin(self, identity: Identity, settings: AnyProvider) -> Identity | None:
        """The person of the joined directory that the provider's immutable id names, as the directory has them now; None when it names nobody.

        Raises _NoTwin: who leaves a directory is for a while still known to the provider, and must not begin anew as somebody else.
        """
        said = identity.attributes or {}
        named = said.get(IMMUTABLE_ID, ())
        if settings.joins is None or not named or settings.synchronised_tenants.isdisjoint(said.get(TENANT, ())):
            return None
        if said.get(SYNCHRONISED) != ("true",):
            # An administrator of the tenant may write any immutable id on somebody who is the cloud's alone.
            raise _NoTwin(Reason.JOIN_NOT_CONFIRMED, is_final=False)
        directory, subject = self._directories.get(settings.joins), _lasting_id(named[0])
        if directory is None or subject is None:
            raise _NoTwin(Reason.JOIN_NOT_CONFIRMED, is_final=False)
        try:
            found = directory.find(subject)
        except (SourceUnreachable, SourceMisbehaved) as trouble:
            log.warning("join_not_asked", connector=settings.joins, provider=settings.name, detail=trouble.detail)
            raise _NoTwin(Reason.DIRECTORY_UNREACHABLE, is_final=True) from trouble
        # The security id is written by the synchronisation alone.
        own = (found.attributes or {}).get(SECURITY_ID, ()) if found is not None else ()
        if found is None or found.state is State.OUT_OF_SCOPE or not own or said.get(THEIR_SECURITY_ID, ()) != own:
            raise _NoTwin(Reason.JOIN_NOT_CONFIRMED, is_final=False)
        return found

    def _join(self, arrival: Arrival, twin: Identity, author: Author, *, may_create: bool) -> Adopted:
        """Both are one Account from now on. Raises NotKept, LinkRefused, _NoTwin."""
        identity = arrival.identity
        with self._database.write() as tx:
            reserve(tx, identity.connector, identity.subject)
            held = tx.links.get(twin.connector, twin.subject)
            if held is None and not lets_stay(twin.state):
                raise _NoTwin(REASON_OF_STATE[twin.state], is_final=True)
            if held is None and not may_create:
                raise NotKept(Reason.NOTHING_GRANTS, "unknown here, and not to be made")
            said = Author(f"connector:{twin.connector}", author.origin)
            is_placed = bool(self._linking.placements_now(tx, identity))
            owner = self._linking.adopt(tx, twin, said, is_signing_in=True, is_placed_elsewhere=is_placed)
            if not owner.account.is_active:
                return owner  # its own directory, or an operator, has closed it: nothing is linked to it now
            new = NewLink(connector=identity.connector, subject=identity.subject, how="immutable_id", refresh_seal=self._seal(arrival))
            link(tx, owner.account.id, new, author=author, clock=self._clock)
            # This arrival is older than the link, by what the directory took to answer; it is kept all the same.
            tx.links.hear(identity.connector, identity.subject, word=identity.state, at=identity.seen_at, seen_digest="")
            return self._linking.adopt(tx, identity, author, is_signing_in=True)

    def _refuse(self, identity: Identity, reason: Reason, author: Author) -> None:
        with self._database.write() as tx:
            record(tx, EventType.ACCOUNT_LINK_REFUSED, None, author, connector=identity.connector, clock=self._clock, reason=reason)

    # What is kept

    def _keep_refresh(self, tx: Transaction, arrival: Arrival) -> None:
        if (seal := self._seal(arrival)) is not None:
            tx.links.change(arrival.identity.connector, arrival.identity.subject, refresh_seal=seal)

    def _seal(self, arrival: Arrival) -> bytes | None:
        identity = arrival.identity
        if arrival.refresh_token is None:
            return None
        return seal_refresh_token(self._keyring, arrival.refresh_token, connector=identity.connector, subject=identity.subject)

    def _pending(self, arrival: Arrival) -> PendingLink:
        identity = arrival.identity
        seal = self._seal(arrival)
        return PendingLink(
            connector=identity.connector,
            subject=identity.subject,
            label=self._providers[identity.connector].label,
            shown_name=_shown_name(identity, self._providers[identity.connector]),
            arrived_at=self._clock.now(),
            refresh_seal=seal.hex() if seal else None,
        )


def _shown_name(identity: Identity, settings: AnyProvider) -> str:
    """What the person is called there, with what is theirs alone: a name may be chosen, and look like another's. Entra's say whose tenant it is."""
    name = identity.username or f"{identity.given_name} {identity.family_name}".strip()
    is_lasting = bool(name) and (settings.type == "entra" or name.lower() in identity.subject.lower())
    if is_lasting and identity.username:
        return name
    own = identity.email or identity.subject
    return f"{name} ({own})" if name and name.lower() != own.lower() else own


def _lasting_id(immutable_id: str) -> str | None:
    """objectGUID as directories' people are kept by, of the base64 of its bytes, as Entra Connect writes it; None when it is none."""
    try:
        raw = base64.b64decode(immutable_id, validate=True)
        return str(uuid.UUID(bytes_le=raw))
    except (binascii.Error, ValueError):
        return None
