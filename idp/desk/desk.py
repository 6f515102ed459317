"""Desk: the parts that act for administrators, built once and handed to the pages and the commands."""

from dataclasses import dataclass

from idp.audit import Author, Origin
from idp.desk.access import Access
from idp.desk.administrators import Administrators
from idp.desk.authority import Authority
from idp.desk.card import Cards
from idp.desk.client_trial import ClientTrial
from idp.desk.clients import Clients
from idp.desk.cut_reading import CutReading
from idp.desk.diagnosis import Diagnosis
from idp.desk.dossier import Dossiers
from idp.desk.figures import FiguresOf
from idp.desk.forgotten import Forgotten
from idp.desk.overview import Overviews
from idp.desk.places import Places
from idp.desk.reach import Reach
from idp.desk.redemption import Redemption
from idp.desk.register import Register
from idp.desk.reset_facts import ResetFactsOf
from idp.desk.reset_record import Record
from idp.desk.resets import Resets
from idp.desk.rulebook import Rulebook
from idp.desk.search import PeopleSearch
from idp.desk.sources import Sources
from idp.desk.trail_reading import TrailReading
from idp.desk.unlock import Unlock
from idp.store.base import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Every part of the desk. Safe between threads; one per process."""

    authority: Authority
    administrators: Administrators
    overviews: Overviews
    diagnosis: Diagnosis
    reach: Reach
    unlock: Unlock
    resets: Resets
    dossiers: Dossiers
    reset_facts: ResetFactsOf
    reset_record: Record
    redemption: Redemption
    forgotten: Forgotten
    search: PeopleSearch
    trail_reading: TrailReading
    cut_reading: CutReading
    figures: FiguresOf
    cards: Cards
    register: Register
    access: Access
    places: Places
    clients: Clients
    client_trial: ClientTrial
    rulebook: Rulebook
    sources: Sources

    def author_of(self, session: Session, origin: Origin) -> Author:
        """Who a signed-in agent is in the audit trail."""
        return Author(f"account:{session.account_id}", origin)
