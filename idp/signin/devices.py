"""Devices: browsers in which a person has signed in to the end, and those among them that spare the gesture for some days.

Owns the secret in the browser (256 random bits, replaced at every sign-in; the former one is taken for minutes, for an answer that was lost on the
way), what a late former secret means, and what a person ends of them. Whether one may be remembered is the establishment's; what it is worth is
policies/assurance.py's. Nothing is kept in a shared zone. Works in the caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from idp.audit import Author, Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.crypto import digest
from idp.endings import Cause, end_session
from idp.signin.interaction import DeviceUse
from idp.store.base import Account, Device, Session
from idp.store.database import Database, Transaction

FORMER_TAKEN_FOR = timedelta(minutes=5)
# People share a tablet at home: each has a Device of their own in the one cookie of the browser.
MOST_IN_A_BROWSER = 4
SECRET_LENGTH = 43


@dataclass(frozen=True, slots=True)
class Recognised:
    """The Device that a browser is for one person, by the secret with `presented_digest`; `stale_id` is one whose former secret came too late."""

    device: Device | None = None
    presented_digest: str | None = None
    stale_id: str | None = None


STRANGE = Recognised()


@dataclass(frozen=True, slots=True)
class Issued:
    """A new secret for the browser, in place of the one with that digest."""

    secret: str
    replaces: str | None
    is_new: bool

    def __repr__(self) -> str:
        return "Issued(…)"  # a traceback or a log line must not show a secret


class Tell(Protocol):
    """Tells a person of what is done in this transaction (idp/messages/messenger.py)."""

    def __call__(self, tx: Transaction, account: Account, purpose: str, params: Mapping[str, str], *, author: Author) -> bool:
        """Whether there was a way to."""
        ...


def recognise(tx: Transaction, account_id: str, secrets: Sequence[str], *, now: datetime) -> Recognised:
    """Which of the account's Devices a browser with these secrets is; one statement, none without a secret."""
    digests = [digest(secret) for secret in secrets[:MOST_IN_A_BROWSER]]
    found = tx.devices.find(account_id, digests) if digests else None
    if found is None:
        return STRANGE
    if found.secret_digest in digests:
        return Recognised(found, found.secret_digest)
    if now - found.rotated_at <= FORMER_TAKEN_FOR:
        return Recognised(found, found.previous_digest)
    return Recognised(stale_id=found.id)


def spares_until(device: Device, days: int) -> datetime | None:
    """Until when a second factor that was given in a Device spares the gesture, where an establishment lets it for `days`; None when it never did."""
    if device.remembered_at is None or device.remembered_until is None:
        return None
    return min(device.remembered_until, device.remembered_at + timedelta(days=days))


def settle(
    tx: Transaction, account: Account, use: DeviceUse, *, clock: Clock, origin: Origin, tell: Tell
) -> tuple[str | None, Issued | None]:
    """What a finished sign-in makes of its browser: the Device's id, and the secret to hand out (None when the browser keeps what it has).

    Of a new one the person is told, unless it is their first and at work: there is nothing yet that it would differ from.
    """
    account_id = account.id
    if use.stale_id is not None and tx.devices.end(use.stale_id, clock.now()):
        _record(tx, EventType.DEVICE_ENDED, account_id, use.stale_id, clock=clock, origin=origin, reason=Reason.DEVICE_SECRET_REPLAYED)
    if not use.is_kept:
        return None, None
    now, secret = clock.now(), clock.new_token()
    issued: Issued | None = None
    device_id = use.device_id
    if device_id is not None and use.current_digest is not None:
        is_rotated = tx.devices.rotate(
            device_id, use.current_digest, successor=digest(secret), now=now, user_agent=origin.user_agent, address=origin.address
        )
        current = tx.devices.get(device_id)
        if current is None or current.ended_at is not None:
            device_id = None
        elif is_rotated:
            issued = Issued(secret, use.presented_digest, is_new=False)
    if device_id is None:
        device_id = clock.new_id()
        if not use.is_inside or tx.devices.open_of(account_id):
            tell(tx, account, "new_device", {"browser": origin.user_agent}, author=Author(f"account:{account_id}", origin))
        tx.devices.add(_opened(device_id, account_id, digest(secret), now=now, origin=origin))
        _record(tx, EventType.DEVICE_SEEN, account_id, device_id, clock=clock, origin=origin)
        issued = Issued(secret, None, is_new=True)
    if use.remembered_for is not None:
        tx.devices.remember(device_id, now, until=now + use.remembered_for)
        _record(tx, EventType.DEVICE_REMEMBERED, account_id, device_id, clock=clock, origin=origin)
    return device_id, issued


def read_secrets(cookie: str | None) -> tuple[str, ...]:
    """The secrets that a browser's cookie holds; what is not one of ours is passed over."""
    found = (cookie or "")[: (SECRET_LENGTH + 1) * MOST_IN_A_BROWSER].split(".")
    return tuple(secret for secret in found if len(secret) == SECRET_LENGTH)


def write_secrets(present: Sequence[str], issued: Issued) -> str:
    """The cookie of a browser that was given one more, the latest first."""
    others = [secret for secret in present if digest(secret) != issued.replaces]
    return ".".join([issued.secret, *others][:MOST_IN_A_BROWSER])


class OwnDevices:
    """A person's Devices, as their account page shows and ends them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def of(self, session: Session) -> tuple[Device, ...]:
        """Those that are known, the one seen last first."""
        with self._database.read() as tx:
            return tx.devices.open_of(session.account_id)

    def end(self, session: Session, device_id: str, *, origin: Origin) -> bool:
        """End one of the person's own, with the Sessions opened in it except this one; False when it is not theirs or had ended."""
        actor = f"account:{session.account_id}"
        with self._database.write() as tx:
            tx.people.hold(session.account_id)
            device = tx.devices.get(device_id)
            if device is None or device.account_id != session.account_id or not tx.devices.end(device_id, self._clock.now()):
                return False
            _record(
                tx, EventType.DEVICE_ENDED, session.account_id, device_id, clock=self._clock, origin=origin, reason=Reason.ENDED_BY_PERSON
            )
            for other in tx.sessions.open_of(session.account_id):
                if other.device_id == device_id and other.id != session.id:
                    end_session(tx, other, Cause(Reason.ENDED_BY_PERSON, actor, origin), clock=self._clock)
            return True


def _opened(device_id: str, account_id: str, secret_digest: str, *, now: datetime, origin: Origin) -> Device:
    return Device(
        id=device_id,
        account_id=account_id,
        secret_digest=secret_digest,
        previous_digest=None,
        rotated_at=now,
        user_agent=origin.user_agent[:300],
        address=origin.address,
        remembered_at=None,
        remembered_until=None,
        last_seen_at=now,
        created_at=now,
        ended_at=None,
    )


def _record(
    tx: Transaction, kind: EventType, account_id: str, device_id: str, *, clock: Clock, origin: Origin, reason: Reason | None = None
) -> None:
    tx.events.append(
        Event(
            type=kind,
            at=clock.now(),
            actor=f"account:{account_id}",
            origin=origin,
            reason=reason,
            account_id=account_id,
            device_id=device_id,
        )
    )
