"""Ground: what is known of the place, the machine and the means of a person about to be judged, at one establishment.

Owns the gathering of it, with few statements (a silent authorization inside costs one, beside the zones' own), and the Visitor: what a request brings
along. Concludes nothing: whereabouts.py and policies/zones.py say where somebody is, gate.py asks the rules.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from idp.audit import Origin
from idp.signin.devices import STRANGE, Recognised, recognise
from idp.signin.whereabouts import Locator
from idp.store.base import Account, Establishment
from idp.store.database import Transaction
from idp.store.means import Means
from policies.assurance import TOLERANT
from policies.zones import Whereabouts, WorkstationFacts


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who comes, before anything is believed of it: from where, on which enrolled machine (recognised already), with which secrets of Devices.

    `is_on_shared`: the machine is one that several people use, also where it is out of its zone and counts for nothing else.
    """

    origin: Origin
    device_secrets: tuple[str, ...] = ()
    workstation: WorkstationFacts | None = None
    is_on_shared: bool = False

    def __repr__(self) -> str:
        return f"Visitor({self.origin.address}, …)"  # a traceback or a log line must not show a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Facts of the place and of the means. `device` is looked for where it can change something."""

    whereabouts: Whereabouts
    means: Means
    workstation: WorkstationFacts | None = None
    device: Recognised = STRANGE


class Survey(Protocol):
    """Gathers the Ground of one request, for an account at an establishment where it has a valid attachment."""

    def __call__(self, tx: Transaction, account: Account, establishment: Establishment, *, asks_device: bool, now: datetime) -> Ground:
        """`asks_device`: something was just proven or spared, or a rule looks at it: whether the browser is a Device is to be known."""
        ...


def survey_of(locator: Locator, visitor: Visitor) -> Survey:
    """The Survey of one visitor."""

    def survey(tx: Transaction, account: Account, establishment: Establishment, *, asks_device: bool, now: datetime) -> Ground:
        machine = visitor.workstation
        whereabouts = locator.where(tx, visitor.origin, establishment_id=establishment.id, has_attachment=True, workstation=machine)
        if visitor.is_on_shared:
            whereabouts = replace(whereabouts, is_shared=True, may_enrol=False)
        # Inside, a Session answers by itself without its Device being asked for: that is the hot path.
        needs_device = asks_device or not whereabouts.is_inside or establishment.regulatory_level != TOLERANT
        return Ground(
            whereabouts=whereabouts,
            means=tx.means.of(account.id, now),
            workstation=machine if machine is not None and machine.establishment_id == establishment.id else None,
            device=recognise(tx, account.id, visitor.device_secrets, now=now) if needs_device else STRANGE,
        )

    return survey
