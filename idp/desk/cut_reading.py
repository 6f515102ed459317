"""What the console shows of cuts: the list, one certificate, and the document that is taken away; within the reader's establishments.

Owns the scope (asked again in the transaction that reads) and the record of every document that is taken away. What a certificate says is
idp/lifecycle/certificate.py's.
"""

from dataclasses import dataclass
from typing import Any

from idp.audit import Event, EventType, Reason
from idp.clock import Clock
from idp.desk.authority import ActRefused, Agent, Authority
from idp.lifecycle.certificate import Certificate, Signatory, certify
from idp.store.base import CanaryRun, Cut
from idp.store.cuts import Answers
from idp.store.database import Database, Transaction
from policies.acts import Act

CANARY_RUNS = 24
NONE_TOLD = Answers(0, 0, 0)


@dataclass(frozen=True, slots=True)
class CutLine:
    """One cut of the list, whose it was, the establishment of a post that was lost ("" for a departure), and how far applications have answered."""

    cut: Cut
    person: str
    establishment: str
    answers: Answers


class CutReading:
    """Safe between threads; one per process. Every method raises ActRefused."""

    def __init__(self, database: Database, authority: Authority, clock: Clock, *, signatory: Signatory) -> None:
        self._database = database
        self._authority = authority
        self._clock = clock
        self._signatory = signatory

    def find(self, agent: Agent, *, account_id: str | None = None, skip: int, count: int) -> tuple[CutLine, ...]:
        """A page of the cuts, newest first; of one person where it is said."""
        with self._database.read() as tx:
            found = tx.cuts.find(places=self._places(tx, agent), account_id=account_id, skip=skip, limit=count)
            names = {place.id: place.name for place in tx.establishments.all()}
            people = {who: tx.people.get(who) for who in {cut.account_id for cut in found}}
            answers = tx.cuts.answers({cut.id for cut in found})
            return tuple(
                CutLine(
                    cut,
                    account.name if (account := people[cut.account_id]) else "",
                    names.get(cut.establishment_id or "", ""),
                    answers.get(cut.id, NONE_TOLD),
                )
                for cut in found
            )

    def certificate(self, agent: Agent, cut_id: str) -> Certificate:
        """As things are now."""
        with self._database.read() as tx:
            return self._certify(tx, agent, cut_id)

    def document(self, agent: Agent, cut_id: str) -> dict[str, Any]:
        """The signed document; that it was taken away is recorded with what it says."""
        with self._database.write() as tx:
            certificate = self._certify(tx, agent, cut_id)
            author = agent.author
            tx.events.append(
                Event(
                    type=EventType.AUDIT_EXPORTED,
                    at=self._clock.now(),
                    actor=author.actor,
                    origin=author.origin,
                    account_id=certificate.cut.account_id,
                    establishment_id=certificate.cut.establishment_id,
                    details={"format": "json", "cut": cut_id, "state": certificate.state},
                )
            )
        return self._signatory.document(certificate)

    def canaries(self, agent: Agent) -> dict[str, tuple[CanaryRun, ...]]:
        """The last runs of each directory's canary, oldest first: they are nobody's, and shown to every reader."""
        with self._database.read() as tx:
            self._places(tx, agent)
            return {name: tx.canary.last(name, CANARY_RUNS) for name in tx.canary.connectors()}

    def _certify(self, tx: Transaction, agent: Agent, cut_id: str) -> Certificate:
        places = self._places(tx, agent)
        cut = tx.cuts.get(cut_id)
        if cut is None or not tx.cuts.is_seen_from(cut_id, places):
            reason = Reason.ACT_TARGET_UNKNOWN if cut is None else Reason.ACT_OUTSIDE_ESTABLISHMENT
            raise ActRefused(reason, Act.READ_AUDIT, detail=reason.description, account_id=cut.account_id if cut is not None else None)
        return certify(tx, cut, now=self._clock.now())

    def _places(self, tx: Transaction, agent: Agent) -> frozenset[str] | None:
        self._authority.demand(tx, Act.READ_AUDIT, agent)
        return self._authority.actor(tx, agent).places(Act.READ_AUDIT)
