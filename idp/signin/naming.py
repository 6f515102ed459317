"""What people are called, kept as their source says: shown names, and what they are found by; a name that another Account carries is left to it.

Owns when a name passes on: only when every source that knew its holder has let them go. Called by linking.py, in the caller's transaction.
"""

from connectors.base import Identity
from idp.audit import Author, EventType
from idp.clock import Clock
from idp.messages.messenger import Messenger
from idp.signin.links import record
from idp.signin.local import normalise_identifier
from idp.signin.placing import Place
from idp.store.base import Account
from idp.store.database import Transaction
from policies.lifecycle import GONE, OPERATOR

SHOWN = ("username", "given_name", "family_name", "email", "phone_number")
REACHED = {"email": "email_changed_at", "phone_number": "phone_changed_at"}
LENGTH = {"username": 120, "given_name": 80, "family_name": 80, "email": 254, "phone_number": 20}


def shown(identity: Identity, name: str) -> str | None:
    """A value as it is kept: without control characters, cut to its column, None when the directory has none."""
    value: str | None = getattr(identity, name)
    text = "".join(character for character in value or "" if character.isprintable()).strip()[: LENGTH[name]]
    return text or None


def rename(
    tx: Transaction,
    account: Account,
    identity: Identity,
    *,
    left: list[str],
    author: Author,
    clock: Clock,
    messenger: Messenger | None = None,
) -> list[str]:
    """Keep what the person is called, and since when they are reached where they are: a reset relies on no address of yesterday.

    A login or an address that is left to another Account is not shown either: applications would take this person for that one. `messenger`
    is how they hear, at the old address and the old number, that they are reached elsewhere from now on.
    """
    values = {name: None if name in left else shown(identity, name) for name in SHOWN}
    for name in ("given_name", "family_name"):
        values[name] = values[name] or ""
    changed = {name: value for name, value in values.items() if value != getattr(account, name)}
    if changed:
        reached = [name for name in REACHED if name in changed]
        if reached and messenger is not None:
            messenger.tell(tx, account, "contact_changed", {}, author=author)
            if "phone_number" in reached:
                messenger.tell_old_number(tx, account, author=author, to=values["phone_number"])
        verified = dict.fromkeys((f"{name}_verified" for name in reached), False)
        since = {REACHED[name]: clock.now() for name in reached}
        tx.people.change(account.id, clock.now(), **changed, **verified, **since)
    return [name for name in SHOWN if name in changed]


def find_by(
    tx: Transaction, account_id: str, identity: Identity, *, author: Author, places: tuple[Place, ...], clock: Clock
) -> tuple[list[str], tuple[str, ...]]:
    """Let the person be found by what the directory calls them; the kinds that are left to other Accounts, and those Accounts."""
    wanted = [("username", identity.username, ""), ("email", identity.email, "")]
    if places:
        wanted.append(("number", identity.number, places[0][0]))
    present = set(tx.people.identifiers(account_id))
    left: list[str] = []
    rivals: list[str] = []
    for kind, value, scope in wanted:
        known = normalise_identifier(value or "")
        if (kind, known, scope) in present:
            continue
        if any(one[0] == kind for one in present):
            tx.people.remove_identifiers(account_id, kind)
        if not known or len(known) > LENGTH["email"]:
            continue
        # A username that is another person's staff number would make both ambiguous: values are compared across kinds.
        others = [other for other in tx.people.matching(known, scope or None) if other.id != account_id]
        staying = [other for other in others if not _gives_up(tx, other, known, author=author, clock=clock)]
        if staying or not tx.people.claim_identifier(account_id, kind, value=known, scope=scope):
            left.append(kind)
            rivals.extend(other.id for other in staying)
    return left, tuple(dict.fromkeys(rivals))


def _gives_up(tx: Transaction, other: Account, value: str, *, author: Author, clock: Clock) -> bool:
    """Whether an Account leaves a name to somebody new: every source that knew the person has let them go, and nobody else knows them.

    Who is gone keeps the Account, the `sub` and the trail; only the name is found with whoever carries it now.
    """
    links = tx.links.of_account(other.id)
    is_gone = bool(links) and all(one.word == GONE for one in links)
    if not is_gone or other.is_active or other.cut_by == OPERATOR or tx.people.password(other.id) is not None:
        return False
    carried = [one for one in tx.people.identifiers(other.id) if one[1] == value]
    for kind, _, _ in carried:
        tx.people.remove_identifiers(other.id, kind)
    values = {kind: None for kind, _, _ in carried if kind in SHOWN}
    if values:
        # Nothing is written to an address that is somebody else's now.
        tx.people.change(other.id, clock.now(), **values)
    fields: dict[str, str | int | bool | None] = {"fields": " ".join(kind for kind, _, _ in carried), "given_up": True}
    record(tx, EventType.ACCOUNT_CHANGED, other.id, author, connector=links[0].connector, details=fields, clock=clock)
    return True
