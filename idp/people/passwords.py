"""Local passwords that somebody else sets: the rules, the one-time password, the change that ends what the old one had opened.

Rules are policies.passwords; this module gathers their facts (the words of the person and the place). Hashing is slow
on purpose, so it is done before the transaction: `judge`, then hash, then `write`.
"""

from idp.audit import Author, Event, EventType, Reason
from idp.clock import Clock
from idp.crypto import PasswordHasher
from idp.endings import Cause, Ended, end_account_access
from idp.signals import Occasion, credential_changed
from idp.store.base import Account
from idp.store.database import Transaction
from policies.passwords import BlockList, PasswordFacts, check

GROUPS, GROUP_LENGTH = 4, 5


def personal_words(tx: Transaction, account: Account) -> tuple[str, ...]:
    """The words that this person's password may not be made of: names, identifiers, and the names of their establishments."""
    words = [account.given_name, account.family_name]
    words += [value for _, value, _ in tx.people.identifiers(account.id)]
    for attachment in tx.people.attachments(account.id):
        establishment = tx.establishments.get(attachment.establishment_id)
        if establishment is not None:
            words += [establishment.name, establishment.slug]
    return tuple(word for word in words if word)


def judge(password: str, *, words: tuple[str, ...], blocked: BlockList) -> tuple[str, ...]:
    """Codes of what is wrong with a new password (policies.passwords); empty means good."""
    return check(PasswordFacts(password, words), blocked)


def is_reused(tx: Transaction, account: Account, password: str, hasher: PasswordHasher) -> bool:
    """Whether it is the present password or one of the three before; up to four hashes."""
    present = tx.people.password(account.id)
    return present is not None and any(hasher.verify(encoded, password) for encoded in (present.hash, *present.previous))


def generate(clock: Clock, blocked: BlockList) -> str:
    """A one-time password of 100 random bits, safe to read over the phone: four groups of five."""
    while True:
        password = "-".join(clock.new_code(GROUP_LENGTH) for _ in range(GROUPS))
        if not judge(password, words=(), blocked=blocked):
            return password


def write(tx: Transaction, account: Account, encoded: str, author: Author, *, must_change: bool, clock: Clock) -> Ended:
    """Replace the password by its hash; every Session and Grant that stood on the old one ends."""
    tx.people.hold(account.id)
    now = clock.now()
    tx.people.set_password(account.id, encoded, must_change=must_change, now=now)
    ended = end_account_access(tx, account.id, Cause(Reason.CREDENTIAL_CHANGED, author.actor, author.origin), clock=clock)
    occasion = Occasion.by(author, Reason.CREDENTIAL_CHANGED)
    credential_changed(tx, account.id, "password", change="update", occasion=occasion, clock=clock)
    tx.events.append(
        Event(
            type=EventType.ACCOUNT_PASSWORD_SET,
            at=now,
            actor=author.actor,
            origin=author.origin,
            account_id=account.id,
            details={"must_change": must_change, **ended.counts},
        )
    )
    return ended


def record_refusal(tx: Transaction, account: Account, author: Author, *, codes: tuple[str, ...], clock: Clock) -> None:
    """The audit line of a password that was not good enough; the codes only, never the password."""
    reason = Reason.PASSWORD_REUSED if codes == (str(Reason.PASSWORD_REUSED),) else Reason.PASSWORD_TOO_WEAK
    tx.events.append(
        Event(
            type=EventType.PASSWORD_CHANGE_REFUSED,
            at=clock.now(),
            actor=author.actor,
            origin=author.origin,
            reason=reason,
            account_id=account.id,
            details={"problems": " ".join(codes)},
        )
    )
