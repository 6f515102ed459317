"""What is done about one person of whom a directory has said something: they are asked for, and what the answer means is written in one transaction.

Owns whether there is anything to write, the brake on people who leave one after another, and the measure of a departure's first stages. Writing a
word is idp.signin.linking's; when to do it, and how far the directory was heard, is watch.py's.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from connectors.base import Heard, Identity, PeopleSource
from idp.audit import Author, Origin, Word
from idp.clock import Clock
from idp.config import SyncSettings
from idp.endings import Ended
from idp.lifecycle.runs import run_lease
from idp.lifecycle.watch_brake import WatchBrake
from idp.signin.linking import Adopted, Linking, NotKept, has_new_password, open_establishments
from idp.store.base import Account, Link
from idp.store.database import Transaction
from idp.store.leases import Fenced
from policies.lifecycle import GONE, Verdict, is_loss, lets_stay

if TYPE_CHECKING:
    from idp.telemetry import Metrics

SETTLES_WITHIN_SECONDS = 0.1
Save = Callable[[Transaction], None]


class Hearing:
    """Of one directory, for one thread."""

    def __init__(
        self,
        directory: PeopleSource,
        linking: Linking,
        store: Fenced,
        *,
        settings: SyncSettings,
        clock: Clock,
        metrics: "Metrics",
        closing: threading.Event,
    ) -> None:
        """`closing` is set when nothing is waited for any more."""
        self.name = directory.name
        self.actor = f"connector:{self.name}"
        self._directory = directory
        self._linking = linking
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._closing = closing
        self._brake = WatchBrake(self.name, settings=settings, clock=clock)

    def recall(self, tx: Transaction) -> None:
        """Begin with what the store remembers of the last minutes."""
        self._brake.recall(tx, self.actor)

    def concerns(self, groups: frozenset[str]) -> bool:
        """Whether any of these groups places anybody."""
        with self._store.read() as tx:
            return self._linking.listens_to(self.name, groups, open_establishments(tx))

    def ask(self, subject: str, heard: Heard) -> tuple[datetime, Identity | None]:
        """What the directory says of the person now, and when it was asked. Raises SourceUnreachable or SourceMisbehaved."""
        asked_at = self._clock.now()
        identity = self._directory.find(subject)
        if heard.kind == "person" and identity is not None and self._loses_places(identity):
            # A group follows a new name of its member a moment later (OpenLDAP, refint): what the group itself says comes by its own word.
            self._closing.wait(SETTLES_WITHIN_SECONDS)
            asked_at = self._clock.now()
            identity = self._directory.find(subject)
        return asked_at, identity

    def is_news(self, subject: str, identity: Identity | None, *, is_again: bool) -> bool:
        """Whether anything is to be written: of somebody whose telephone is not ours to know, or who is of no use here, there is not.

        `is_again`: they were asked for a moment ago. A new password counts from then on: one that is being changed on our page at this instant
        is heard of before that page has written it down.
        """
        with self._store.read() as tx:
            link = tx.links.get(self.name, subject)
            places = self._linking.placements_now(tx, identity) if identity is not None and lets_stay(identity.state) else ()
            if link is None:
                return bool(places)
            account = tx.people.get(link.account_id)
        if link.ended_at is not None or account is None:
            return False
        word = _word_of(identity)
        verdict = self._linking.judge(link, account, word, placements=len(places)).verdict
        if verdict is Verdict.HOLD:
            return False  # a human decides, and the next one who asks for them is told so
        is_as_before = word == link.word and (
            not lets_stay(word) or (identity is not None and self._linking.digest(identity, places) == link.seen_digest)
        )
        is_reset = is_again and identity is not None and lets_stay(word) and has_new_password(link.password_set_at, identity)
        return verdict is Verdict.SUSPEND or is_reset or not is_as_before

    def is_late(self, subject: str, asked_at: datetime) -> bool:
        """Whether the answer counts for nothing, for somebody heard the directory later: by a clock that may be ahead of ours, and so before."""
        with self._store.read() as tx:
            link = tx.links.get(self.name, subject)
        return link is not None and link.ended_at is None and self._linking.is_outdated(link, asked_at)

    def note_as_before(self, subject: str, asked_at: datetime) -> None:
        """While the directory is being read, by us or by an operator: what the listing saw of the person before must not count as newer than this."""
        with self._store.read() as tx:
            reading = tx.leases.get(run_lease(self.name))
        if reading is not None and reading.expires_at > self._clock.now():
            with self._store.write() as tx:
                tx.links.hear_again(self.name, (subject,), at=asked_at)

    def write(self, subject: str, identity: Identity | None, heard: Heard, *, asked_at: datetime, save: Save) -> bool:
        """Do what the answer means, in one transaction with `save`; whether it took something. StoreUnavailable, LeaseLost: nothing was done."""
        word = Word(connector=self.name, subject=subject, written_at=heard.written_at, heard_at=heard.heard_at)
        author = Author(self.actor, Origin(self._clock.new_code(10), "local"), word)
        with self._store.write() as tx:
            link, account = self._held(tx, subject)
            is_late = link is not None and self._linking.is_outdated(link, asked_at)
            is_leaving = not is_late and account is not None and link is not None and self._would_leave(tx, link, account, identity)
            is_stopped = is_leaving and account is not None and self._brake.stops(tx, account.id)
            if is_stopped and link is not None:
                is_stopped = self._brake.hold(tx, link, author)
            adopted = self._adopt(tx, subject, link, identity, author=author, asked_at=asked_at)
            save(tx)
        if is_leaving and adopted is not None:
            self._brake.count(adopted.account.id)
        if is_leaving and not is_stopped:
            self._metrics.observe_cut(self.name, written_at=heard.written_at, heard_at=heard.heard_at, decided_at=self._clock.now())
        return is_leaving or (adopted is not None and adopted.ended != Ended())

    def _loses_places(self, identity: Identity) -> bool:
        if not lets_stay(identity.state):
            return False
        with self._store.read() as tx:
            link = tx.links.get(self.name, identity.subject)
            return link is not None and len(self._linking.placements_now(tx, identity)) < self._count_places(tx, link.account_id)

    def _count_places(self, tx: Transaction, account_id: str) -> int:
        return sum(1 for one in tx.people.attachments(account_id) if one.source == self.name and one.ended_at is None)

    def _held(self, tx: Transaction, subject: str) -> tuple[Link | None, Account | None]:
        link = tx.links.get(self.name, subject)
        if link is None:
            return None, None
        tx.people.hold(link.account_id)
        return tx.links.get(self.name, subject), tx.people.get(link.account_id)

    def _would_leave(self, tx: Transaction, link: Link, account: Account, identity: Identity | None) -> bool:
        """Whether the word takes everything from somebody who has something, and nobody holds them yet: what the brake counts."""
        if not account.is_active or link.ended_at is not None:
            return False
        places = len(self._linking.placements_now(tx, identity)) if identity is not None and lets_stay(identity.state) else 0
        judgement = self._linking.judge(link, account, _word_of(identity), placements=places)
        if judgement.verdict is Verdict.HOLD:
            return False
        return judgement.is_cut or is_loss(self._count_places(tx, account.id), places)

    def _adopt(
        self, tx: Transaction, subject: str, link: Link | None, identity: Identity | None, *, author: Author, asked_at: datetime
    ) -> Adopted | None:
        if link is not None and (link.ended_at is not None or self._linking.is_outdated(link, asked_at)):
            return None  # unlinked here; or somebody heard it later than we asked
        if identity is not None:
            with suppress(NotKept):
                return self._linking.adopt(tx, identity, author)
            return None
        return None if link is None else self._linking.apply_word(tx, link, GONE, author)


def _word_of(identity: Identity | None) -> str:
    return GONE if identity is None else str(identity.state)
