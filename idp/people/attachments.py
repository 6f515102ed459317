"""Attachments: a person at an establishment, with a profile, a sector and the days it lasts.

The days become instants here, once, in the establishment's time zone (policies.access). Detaching ends the Sessions and Grants that stood on
the establishment, unless another valid attachment there still carries them.
"""

import dataclasses
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from idp.audit import Author, Reason
from idp.clock import Clock
from idp.config import AttachmentSettings
from idp.endings import Cause, Ended, end_attachment
from idp.people.values import ValueRefused, person_name
from idp.signin.placing import write_attachment
from idp.store.base import Account, Attachment, Establishment
from idp.store.database import Transaction
from policies.access import attachment_window


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttachment:
    """An attachment to be; None is no bound on that side."""

    establishment: Establishment
    profile: str
    sector: str | None = None
    first_day: date | None = None
    last_day: date | None = None

    def window(self, settings: AttachmentSettings) -> tuple[datetime | None, datetime | None]:
        """The instants it opens and closes; raises ValueRefused when the days are in the wrong order."""
        try:
            return attachment_window(
                self.first_day,
                self.last_day,
                ZoneInfo(self.establishment.time_zone),
                closes_at=settings.closes_at,
                closes_days_after=settings.closes_days_after,
            )
        except ValueError as error:
            raise ValueRefused("last_day", str(error)) from error

    def is_same(self, other: Attachment) -> bool:
        """Whether a stored attachment says the same."""
        mine = (self.establishment.id, self.profile, self.sector, self.first_day, self.last_day)
        return mine == (other.establishment_id, other.profile, other.sector, other.first_day, other.last_day) and other.ended_at is None


def check(new: NewAttachment, *, profiles: tuple[str, ...]) -> NewAttachment:
    """The same with its sector tidied; raises ValueRefused on an unknown profile or an ended establishment."""
    if new.profile not in profiles:
        raise ValueRefused("profile", f"{new.profile!r} is not a profile of this deployment: {', '.join(profiles)}")
    if new.establishment.ended_at is not None:
        raise ValueRefused("establishment", f"{new.establishment.name} has ended")
    return dataclasses.replace(new, sector=person_name(new.sector, "sector") or None if new.sector else None)


def attach(
    tx: Transaction, account: Account, new: NewAttachment, author: Author, *, settings: AttachmentSettings, clock: Clock
) -> Attachment:
    """Attach; raises ValueRefused on days in the wrong order, an ended account, or an attachment that is there already."""
    account = tx.people.held(account.id) or account
    if account.status == "ended":
        raise ValueRefused("account", f"{account.name} has ended")
    if any(new.is_same(attachment) for attachment in tx.people.attachments(account.id)):
        raise ValueRefused("establishment", f"{account.name} is attached to {new.establishment.name} in the same way already")
    valid_from, valid_until = new.window(settings)
    attachment = Attachment(
        id=clock.new_id(),
        account_id=account.id,
        establishment_id=new.establishment.id,
        profile=new.profile,
        sector=new.sector,
        first_day=new.first_day,
        last_day=new.last_day,
        valid_from=valid_from,
        valid_until=valid_until,
        created_at=clock.now(),
        ended_at=None,
    )
    write_attachment(tx, attachment, author)
    return attachment


def detach(tx: Transaction, attachment: Attachment, author: Author, *, clock: Clock) -> Ended:
    """End an attachment now, and what stood on it. Twice changes nothing."""
    return end_attachment(tx, attachment, Cause.by(author, Reason.ATTACHMENT_LOST), clock=clock)
