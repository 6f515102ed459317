"""Local accounts as a source of proof: finding the person by what they typed, and checking the password kept here.

Owns how an identifier is normalised (a password never is), what a local password proves (`acr`, `amr`), and the verification that costs one hash
whoever is there. Does not throttle and does not write: login.py does. Calls the store and the hasher, never both at once.
"""

import unicodedata
from dataclasses import dataclass

from idp.audit import Reason
from idp.crypto import PasswordHasher
from idp.signin.interaction import LOCAL
from idp.store.base import Account, Password
from idp.store.database import Transaction
from policies.passwords import MAX_BYTES

CONNECTOR = LOCAL
ACR_PASSWORD = "urn:vestibule:acr:password"  # noqa: S105  # the name of an assurance level, not a password
AMR_PASSWORD = ("pwd",)
LONGEST_IDENTIFIER = 254


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who an identifier names, as far as it names anybody. `refusal` is set when no password could be right."""

    account: Account | None
    password: Password | None
    refusal: Reason | None
    connector: str | None = None  # the directory that the account is known from


def normalise_identifier(typed: str) -> str:
    """The form under which identifiers are kept and compared: NFKC, without invisible characters or surrounding spaces, case folded.

    People paste identifiers from mails and spreadsheets: zero-width characters, soft hyphens and no-break spaces come along (R70). NFKC is applied
    again at the end because case folding can undo it. An identifier longer than any we keep is cut, so that it matches nobody.
    """
    composed = unicodedata.normalize("NFKC", typed[: 4 * LONGEST_IDENTIFIER])
    visible = "".join(character for character in composed if unicodedata.category(character) not in {"Cf", "Cc", "Cs", "Co", "Cn"})
    return unicodedata.normalize("NFKC", visible.strip().casefold())[: LONGEST_IDENTIFIER + 1]


def find_candidate(tx: Transaction, identifier: str, establishment_id: str | None) -> Candidate:
    """Who a normalised identifier names: first at the establishment we think of, then anywhere."""
    found = tx.people.matching(identifier, establishment_id)
    if not found and establishment_id is not None:
        found = tx.people.matching(identifier, None)
    if len(found) != 1:
        return Candidate(None, None, Reason.AMBIGUOUS_IDENTIFIER if found else Reason.UNKNOWN_IDENTIFIER)
    account = found[0]
    password = tx.people.password(account.id)
    links = tx.links.of_account(account.id) if password is None else ()
    connector = links[0].connector if links else None
    if not account.is_active:
        return Candidate(account, password, Reason.ACCOUNT_NOT_ACTIVE, connector)
    return Candidate(account, password, None if password else Reason.NO_PASSWORD, connector)


def verify(hasher: PasswordHasher, candidate: Candidate, typed: str) -> Reason | None:
    """None when the password proves the candidate, else why not. Exactly one hash is computed, whatever the answer.

    A password longer than any we accept is not fed to the hash: it would let a stranger choose how much work we do.
    """
    is_too_long = len(typed.encode("utf-8", "surrogatepass")) > MAX_BYTES
    encoded = candidate.password.hash if candidate.password and not is_too_long else None
    is_right = hasher.verify(encoded, "" if is_too_long else typed)
    if candidate.refusal is not None:
        return candidate.refusal
    return None if is_right else Reason.WRONG_PASSWORD
