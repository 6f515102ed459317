"""One reading of a whole directory beside what we know of it: who is new, who changed, and whose access it would end.

Owns the comparison; writes nothing (reconcile.py does). Who is absent from the listing, or seems to be cut, is asked for once more by the lasting id
before it counts. A listing that breaks in the middle raises, and then nobody was judged. Calls the connector and policies.lifecycle.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Protocol, TypeVar

from connectors.base import Identity, PeopleSource, SourceMisbehaved
from idp.clock import Clock
from idp.signin.linking import Linking, has_new_password, open_establishments
from idp.store.database import Transaction
from idp.store.leases import Fenced
from policies.lifecycle import DIRECTORY_UNPLACED, GONE, Brake, brakes, is_loss, lets_stay

# More changes than this are not kept in memory: the directory is read a second time while they are written.
KEPT_CHANGES = 2000
# A listing that left out this many people who are there after all is not believed.
BELIEVED_OMISSIONS = 50

T = TypeVar("T")


class Progress(Protocol):
    """Told how far a run is. `is_watched`: somebody sees it, so that it is worth counting people beforehand."""

    is_watched: bool

    def begin(self, phase: str, total: int | None) -> None:
        """A phase begins; `total` is how many people it will count, when that is known."""
        ...

    def advance(self, people: int) -> None:
        """So many more."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a linked person while a directory is read."""

    digest: str
    word: str
    password_set_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ending:
    """Somebody whose access a run ends, or would end. `identity` is the directory's last answer, None when it has no such entry any more.

    `is_asked` is False for those who were not asked for again, because the run had to stop anyway.
    """

    subject: str
    account_id: str
    name: str
    reason: str
    identity: Identity | None = None
    is_asked: bool = False


@dataclass(slots=True)
class Reading:
    """What a reading found. `changes` is None when there were too many to keep; `silent` are absent people whose access had ended before."""

    known: dict[str, Known]
    begun_at: datetime
    listed: int = 0
    added: int = 0
    changed: int = 0
    unusable: int = 0
    unplaced: int = 0
    unchanged: list[str] = field(default_factory=list)
    changes: list[Identity] | None = None
    suspects: dict[str, str] = field(default_factory=dict)
    judged_unplaced: set[str] = field(default_factory=set)
    cleared: set[str] = field(default_factory=set)
    endings: list[Ending] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    is_braked: bool = False

    @property
    def lost(self) -> int:
        """How many of those that changed are endings: they lose every placement."""
        return sum(1 for ending in self.endings if ending.reason == DIRECTORY_UNPLACED)

    @property
    def live(self) -> int:
        """How many people the directory let in at its last word: what a share is counted of."""
        return sum(1 for one in self.known.values() if lets_stay(one.word))


class Reader:
    """Reads one directory."""

    def __init__(
        self, directory: PeopleSource, linking: Linking, store: Fenced, *, brake: Brake, clock: Clock, keep: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._linking = linking
        self._store = store
        self._brake = brake
        self._clock = clock
        self._keep = keep
        self.name = directory.name
        with store.read() as tx:
            self.establishments = open_establishments(tx)

    def remember(self) -> Reading:
        """A reading that has not begun: what was known before."""
        with self._store.read() as tx:
            known = {link.subject: Known(link.seen_digest, link.word, link.password_set_at) for link in tx.links.all(self.name)}
        return Reading(known, self._clock.now())

    def read(self, reading: Reading, progress: Progress) -> None:
        """List everybody and weigh whose access would end. Raises SourceUnreachable or SourceMisbehaved."""
        seen: set[str] = set()
        changes: list[Identity] | None = []
        for identity in self.changed(reading, progress, seen=seen):
            if changes is not None:
                changes.append(identity)
                if len(changes) > KEPT_CHANGES:
                    changes = None
        reading.changes = changes
        reading.suspects |= {subject: GONE for subject, one in reading.known.items() if subject not in seen and one.word != GONE}
        self._weigh(reading, progress)

    def changed(self, reading: Reading, progress: Progress, *, seen: set[str]) -> Iterator[Identity]:
        """Those of a first listing that there is something to write of; the rest is noted on the way, and whoever was listed joins `seen`."""
        progress.begin("reading", self._directory.count() if progress.is_watched else None)
        for number, identity in enumerate(self._directory.people(), 1):
            if number % 100 == 0:
                self._keep()
            progress.advance(1)
            if identity.subject not in seen:
                seen.add(identity.subject)
                if self._compare(reading, identity):
                    yield identity

    def changed_again(self, reading: Reading) -> Iterator[Identity]:
        """The same of a second listing, when the first found too much to be kept: only what the first one judged, and nobody's ending."""
        seen: set[str] = set()
        for identity in self._directory.people():
            subject = identity.subject
            is_judged = subject in reading.judged_unplaced or self.places(identity) > 0
            if subject not in seen and lets_stay(identity.state) and is_judged and self.is_changed(reading, identity):
                seen.add(subject)
                yield identity

    def places(self, identity: Identity) -> int:
        """How many placements the rules give."""
        return len(self._linking.placements(identity, self.establishments))

    def is_changed(self, reading: Reading, identity: Identity) -> bool:
        """Whether there is anything to write of a listed person: what a reading counts as added or changed."""
        known = reading.known.get(identity.subject)
        if known is None:
            return lets_stay(identity.state) and self.places(identity) > 0
        if lets_stay(identity.state) and has_new_password(known.password_set_at, identity):
            return True
        return known.digest != self._linking.digest(identity, self._linking.placements(identity, self.establishments))

    def _compare(self, reading: Reading, identity: Identity) -> bool:
        reading.listed += 1
        known = reading.known.get(identity.subject)
        if not lets_stay(identity.state):
            # A stranger who may not come in is not imported; somebody known is weighed even if nothing changed: an operator may have lifted the cut.
            reading.unusable += 1
            if known is not None:
                reading.suspects[identity.subject] = identity.state
            return False
        is_changed = self.is_changed(reading, identity)
        if not self.places(identity):
            reading.unplaced += 1
            if known is None:
                return False  # of no use here, so nothing is kept of them
            if known is not None and is_changed:
                reading.judged_unplaced.add(identity.subject)
                reading.suspects[identity.subject] = identity.state
        if not is_changed:
            reading.unchanged.append(identity.subject)
        elif known is None:
            reading.added += 1
        else:
            reading.changed += 1
        return is_changed

    def _weigh(self, reading: Reading, progress: Progress) -> None:
        """Ask again for everybody whose access would end, until the brake is reached: from there on a human decides on all of them."""
        omitted = 0
        live = reading.live
        progress.begin("weighing", len(reading.suspects))
        for suspects in batches(reading.suspects.items(), 200):
            with self._store.read() as tx:
                weighed = [(subject, word, self._would_end(tx, subject, word, places=0)) for subject, word in suspects]
            self._keep()
            for subject, word, ending in weighed:
                progress.advance(1)
                if ending is None:
                    if word == GONE:
                        reading.silent.append(subject)
                elif reading.is_braked:
                    reading.endings.append(ending)
                elif sure := self.ask_again(subject):
                    reading.endings.append(sure)
                    reading.is_braked = brakes(len(reading.endings), live, self._brake)
                else:
                    # The listing and the question differ: what the listing said of this person is not written.
                    reading.cleared.add(subject)
                    omitted += word == GONE
                    if omitted > BELIEVED_OMISSIONS:
                        raise SourceMisbehaved(f"the listing left out more than {BELIEVED_OMISSIONS} people who are there")

    def ask_again(self, subject: str) -> Ending | None:
        """What the directory says at this instant, when that ends the person's access. Raises SourceUnreachable or SourceMisbehaved."""
        identity = self._directory.find(subject)
        word, places = (GONE, 0) if identity is None else (str(identity.state), self.places(identity))
        with self._store.read() as tx:
            ending = self._would_end(tx, subject, word, places=places)
        return replace(ending, identity=identity, is_asked=True) if ending else None

    def _would_end(self, tx: Transaction, subject: str, word: str, *, places: int) -> Ending | None:
        link = tx.links.get(self.name, subject)
        account = tx.people.get(link.account_id) if link else None
        if link is None or account is None or not account.is_active:
            return None
        judgement = self._linking.judge(link, account, word, placements=places)
        if judgement.is_cut:
            return Ending(subject, account.id, account.name, judgement.reason)
        before = sum(1 for one in tx.people.attachments(account.id) if one.source == self.name and one.ended_at is None)
        return Ending(subject, account.id, account.name, DIRECTORY_UNPLACED) if is_loss(before, places) else None


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The same, a list of at most `size` at a time."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
