"""The break-glass account: a local one, for the night when no directory answers; its password is in a sealed envelope, its every use an alarm.

Owns the sealing: a password of 150 random bits that nobody chose, printed once, and that no page changes. Sealing again replaces it and ends what the
old one had opened. That its use is recorded is idp/signin/session.py's part, the alarm idp/telemetry.py's.
"""

from idp.audit import Author, Event, EventType
from idp.clock import Clock
from idp.config import AttachmentSettings
from idp.people import accounts, attachments, passwords
from idp.people.attachments import NewAttachment
from idp.store.base import Account
from idp.store.database import Transaction

GROUPS, GROUP_LENGTH = 6, 5


def new_password(clock: Clock) -> str:
    """What goes into the envelope: six groups of five characters, safe to copy from paper."""
    return "-".join(clock.new_code(GROUP_LENGTH) for _ in range(GROUPS))


def seal(
    tx: Transaction, username: str, encoded: str, author: Author, *, place: NewAttachment, settings: AttachmentSettings, clock: Clock
) -> Account:
    """Make the account of this username, or give it a new password, whose hash is `encoded`.

    Raises accounts.AccountRefused when the username is another person's, values.ValueRefused when it or the attachment cannot be.
    """
    new = accounts.NewAccount(username=username, family_name=username).parsed()
    present = next((account for _, account in accounts.taken(tx, new)), None)
    if present is not None and (not present.is_break_glass or present.status != "active"):
        raise accounts.AccountRefused("identifier_taken", f"{username} is {present.name} ({present.id}), no active break-glass account")
    account = present or accounts.add(tx, new, author, clock=clock)
    tx.people.change(account.id, clock.now(), is_break_glass=True)
    if not any(place.is_same(one) for one in tx.people.attachments(account.id)):
        attachments.attach(tx, account, place, author, settings=settings, clock=clock)
    passwords.write(tx, account, encoded, author, must_change=False, clock=clock)
    tx.events.append(
        Event(type=EventType.BREAK_GLASS_SEALED, at=clock.now(), actor=author.actor, origin=author.origin, account_id=account.id)
    )
    return account
