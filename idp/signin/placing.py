"""Attachments as rows and Events: one that is given, and those that a directory's groups give and take away.

Whoever attaches writes through `write_attachment`: an operator (idp/people) and a directory (linking.py). Ending one is idp.endings'.
"""

from collections.abc import Iterable

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.endings import Cause, end_attachment
from idp.store.base import Account, Attachment
from idp.store.database import Transaction

Place = tuple[str, str, str | None]
"""An establishment's id, a profile and a sector."""


def write_attachment(tx: Transaction, attachment: Attachment, author: Author) -> None:
    """Insert it, with its Event."""
    tx.people.attach(attachment)
    tx.events.append(
        Event(
            type=EventType.ATTACHMENT_ADDED,
            at=attachment.created_at,
            actor=author.actor,
            origin=author.origin,
            account_id=attachment.account_id,
            establishment_id=attachment.establishment_id,
            connector=None if attachment.source == "operator" else attachment.source,
            details={
                "attachment": attachment.id,
                "profile": attachment.profile,
                "sector": attachment.sector,
                "first_day": attachment.first_day.isoformat() if attachment.first_day else None,
                "last_day": attachment.last_day.isoformat() if attachment.last_day else None,
            },
        )
    )


def place(tx: Transaction, account: Account, wanted: Iterable[Place], author: Author, *, source: str, clock: Clock) -> bool:
    """Give and take away the attachments that come from a directory (`source`), so that they are those wanted; whether any changed.

    What an operator gave stays as it is. What is new comes first: somebody who changes profile at the same establishment keeps the Session.
    """
    places = set(wanted)
    present = [one for one in tx.people.attachments(account.id) if one.source == source and one.ended_at is None]
    missing = places - {_place_of(one) for one in present}
    lost = [one for one in present if _place_of(one) not in places]
    now = clock.now()
    for establishment_id, profile, sector in sorted(missing, key=str):
        attachment = Attachment(
            id=clock.new_id(),
            account_id=account.id,
            establishment_id=establishment_id,
            profile=profile,
            sector=sector,
            first_day=None,
            last_day=None,
            valid_from=None,
            valid_until=None,
            created_at=now,
            ended_at=None,
            source=source,
        )
        write_attachment(tx, attachment, author)
    for attachment in lost:
        end_attachment(tx, attachment, Cause.by(author, Reason.ATTACHMENT_LOST), clock=clock)
    return bool(missing or lost)


def _place_of(attachment: Attachment) -> Place:
    return attachment.establishment_id, attachment.profile, attachment.sector
