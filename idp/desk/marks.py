"""Marks: by what a browser is known again at the desk, without keeping what it showed: nobody who helped with a Reset redeems it.

Owns the marks and their comparison. A Reset keeps those of everybody who touched it (`Reset.barred`); redemption asks `Marks.are_barred`. A browser
that has thrown its cookies away is not known again: then the other half, sent to the person, is what stands between.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from idp.crypto import Keyring, digest
from idp.store.base import Reset
from idp.store.database import Transaction

PURPOSE = "mark of a browser"
MOST_KEPT = 60


@dataclass(frozen=True, slots=True)
class Marks:
    """What a browser showed, as keyed hashes, and the Accounts that are signed in there. `device_digests` are digests, as devices are kept."""

    browser: frozenset[str] = frozenset()
    account_ids: frozenset[str] = frozenset()
    device_digests: tuple[str, ...] = ()

    @classmethod
    def of(cls, browser_secret: str | None, device_secrets: Iterable[str], keyring: Keyring, *, account_ids: Iterable[str] = ()) -> "Marks":
        """Of a browser's own secret (Pages.known_browser) and those of its devices (idp/signin/devices.read_secrets); `account_ids`: whose Session
        it holds. The machine itself is no mark: people and agents of an establishment use the same ones."""
        digests = tuple(digest(secret) for secret in device_secrets)
        shown = [f"b:{browser_secret}"] if browser_secret else []
        shown += [f"d:{one}" for one in digests]
        return cls(frozenset(keyring.keyed_hash(PURPOSE, one) for one in shown), frozenset(account_ids), digests)

    @property
    def kept(self) -> tuple[str, ...]:
        """As a Reset keeps them."""
        return (*sorted(self.browser), *(f"account:{one}" for one in sorted(self.account_ids)))

    def are_barred(self, tx: Transaction, reset: Reset) -> bool:
        """Whether this browser, a Session in it, or a device of it is of somebody who touched the Reset."""
        barred = frozenset(reset.barred)
        if barred & frozenset(self.kept):
            return True
        # A device's secret is another one after each sign-in, also after the agent's: its row is asked too.
        people = [one.removeprefix("account:") for one in barred if one.startswith("account:")]
        return bool(self.device_digests) and any(tx.devices.find(one, list(self.device_digests)) is not None for one in people)


NO_MARKS = Marks()


def join(barred: tuple[str, ...], marks: Marks) -> tuple[str, ...]:
    """What a Reset keeps, with those of one more browser; the newest stay when there are too many."""
    return tuple(dict.fromkeys((*barred, *marks.kept)))[-MOST_KEPT:]
