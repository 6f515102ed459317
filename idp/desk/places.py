"""Establishments, their zones and workstations, as the console changes them: each act asked of authority.py in the transaction that does it.

Owns the checks that the commands make too, so that neither lets in what the other refuses. What is written is idp/registry.py's and idp/zones.py's.
What the configuration file says is changed there: NotYours.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from idp import registry
from idp.audit import Reason
from idp.clock import Clock
from idp.config import Config, EstablishmentSettings, ZoneSettings
from idp.config.checks import Parts, cross_check
from idp.config.zone_checks import LONGEST_LABEL
from idp.crypto import Keyring
from idp.desk.authority import ActRefused, Agent, Authority
from idp.desk.wrong_input import NotYours, Problem, WrongInput, problems_in, problems_of
from idp.endings import Cause, Ended
from idp.signin.passes import NewPass, Passes
from idp.signin.whereabouts import zone_facts
from idp.store.base import Establishment, Pass, Workstation, Zone
from idp.store.database import Database, Transaction
from idp.zones import end_workstation, end_zone, put_zone
from policies.acts import Act
from policies.zones import overlaps

LONGEST_NAME = 80
_TEXTS = ("name", "finess", "siret", "time_zone")
_CONTACT = ("name", "phone", "email")


class Places:
    """Safe between threads; one per process."""

    def __init__(self, config: Config, database: Database, keyring: Keyring, *, authority: Authority, clock: Clock) -> None:
        self._config = config
        self._database = database
        self._passes = Passes(database, keyring, clock, settings=config.factors)
        self._authority = authority
        self._clock = clock

    # Establishments

    def read(self, slug: str, typed: Mapping[str, str]) -> EstablishmentSettings:
        """The settings that a form says: text by name, contact_name..., the two spans in whole days. Raises WrongInput with every problem."""
        values: dict[str, Any] = {name: typed[name] for name in _TEXTS if typed.get(name)}
        values["contact"] = {name: typed[f"contact_{name}"] for name in _CONTACT if typed.get(f"contact_{name}")}
        values |= {name: typed[name] for name in ("regulatory_level", "windows_approval") if typed.get(name)}
        problems = []
        for name in ("remember_device", "enrolment_grace"):
            days = typed.get(name) or "0"
            if days.isdecimal() and len(days) <= 4:
                values[name] = timedelta(days=int(days))
            else:
                problems.append(Problem(name, "a number of whole days"))
        try:
            settings = EstablishmentSettings.model_validate({"slug": slug, "name": "", **values})
        except ValidationError as error:
            raise WrongInput([*problems_of(error), *problems]) from error
        prefix = "establishments[0]."
        found = cross_check(Parts(self._config, frozenset(), {0: settings}, {}))
        problems += problems_in(
            type(one)(one.severity, one.path.removeprefix(prefix), one.message) for one in found if one.path.startswith(prefix)
        )
        if problems:
            raise WrongInput(problems)
        return settings

    def add(self, agent: Agent, settings: EstablishmentSettings) -> None:
        """A new establishment. Raises WrongInput when its short name is, or was, another's."""
        with self._database.write() as tx:
            self._authority.demand(tx, Act.ADD_PLACE, agent)
            tx.lock("registry")
            self.refuse_taken(tx, settings.slug)
            registry.put_establishment(tx, settings, agent.author, source=registry.OPERATOR, clock=self._clock)

    def refuse_taken(self, tx: Transaction, slug: str) -> None:
        """Raises WrongInput when a short name is, or was, another establishment's."""
        if tx.establishments.by_slug(slug) is not None:
            raise WrongInput([Problem("slug", "there is, or was, an establishment of this short name")])

    def change(self, agent: Agent, settings: EstablishmentSettings) -> bool:
        """Change the establishment of this short name; whether anything changed. Raises NotYours, ActRefused."""
        with self._database.write() as tx:
            tx.lock("registry")
            present = tx.establishments.by_slug(settings.slug)
            self._authority.demand(tx, Act.EDIT_PLACE, agent, establishment=present)
            if present is None or present.ended_at is not None:
                raise ActRefused(Reason.ACT_TARGET_UNKNOWN, Act.EDIT_PLACE)
            refuse_configured(present.source, present.slug)
            return registry.put_establishment(tx, settings, agent.author, source=registry.OPERATOR, clock=self._clock, keeps_logo=True)

    # Zones

    def read_zone(self, agent: Agent, place: Establishment, typed: Mapping[str, Any]) -> ZoneSettings:
        """The settings that a form says; `networks` is a list of texts. Raises WrongInput: also when a zone of anybody holds the same addresses,
        which is named to those only who see its establishment."""
        try:
            settings = ZoneSettings.model_validate({name: value for name, value in typed.items() if value not in ("", [], None)})
        except ValidationError as error:
            raise WrongInput(problems_of(error)) from error
        with self._database.read() as tx:
            self._refuse_wrong_zone(tx, agent, place, settings)
        return settings

    def put_zone(self, agent: Agent, place: Establishment, settings: ZoneSettings) -> bool:
        """Add or change the zone of this name; whether anything changed. Raises NotYours, WrongInput, ActRefused."""
        with self._database.write() as tx:
            self._authority.demand(tx, Act.EDIT_PLACE, agent, establishment=place)
            tx.lock("registry")
            _refuse_ended(tx, place)
            present = tx.zones.named(place.id, settings.name)
            if present is not None:
                refuse_configured(present.source, f"{place.slug}/{settings.name}")
            self._refuse_wrong_zone(tx, agent, place, settings)
            return put_zone(tx, place, settings, agent.author, source=registry.OPERATOR, clock=self._clock)

    def end_zone(self, agent: Agent, place: Establishment, name: str) -> Ended:
        """End a zone, its workstations and the Sessions on them. Raises NotYours, ActRefused when there is none of this name."""
        with self._database.write() as tx:
            self._authority.demand(tx, Act.EDIT_PLACE, agent, establishment=place)
            tx.lock("registry")
            zone = self.named_zone(tx, place, name)
            refuse_configured(zone.source, f"{place.slug}/{name}")
            return end_zone(tx, place, zone, agent.author, clock=self._clock)

    def named_zone(self, tx: Transaction, place: Establishment, name: str) -> Zone:
        """The open zone of this name; ActRefused when there is none."""
        found = tx.zones.named(place.id, name)
        if found is None:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, Act.EDIT_PLACE, establishment_id=place.id)
        return found

    def _refuse_wrong_zone(self, tx: Transaction, agent: Agent, place: Establishment, settings: ZoneSettings) -> None:
        if len(f"{place.slug}/{settings.name}") > LONGEST_LABEL:
            raise WrongInput([Problem("name", f"with the establishment's, at most {LONGEST_LABEL} characters")])
        new = settings.facts("new", place.id, slug=place.slug, time_zone=place.time_zone)
        others = [
            zone_facts(zone, slug)
            for zone, slug in tx.zones.open_with_slugs()
            if (zone.establishment_id, zone.name) != (place.id, settings.name)
        ]
        owners = {zone.id: zone.establishment_id for zone in others}
        problems = []
        for one in overlaps([*others, new], self._config.server.trusted_proxies):
            if new.id not in {one.zone_id, one.other_id}:
                continue
            owner = owners.get((one.other_id if one.zone_id == new.id else one.zone_id) or "", place.id)
            is_seen = agent.actor.holds(Act.SEE_CONSOLE, owner)
            problems.append(
                Problem("networks", one.text if is_seen else "another establishment has these addresses: ask an administrator of the group")
            )
        if problems:
            raise WrongInput(problems)

    # Workstations

    def read_workstation(self, place: Establishment, zone_name: str, name: str) -> str:
        """What a computer is to be called, tidied. Raises WrongInput when it cannot be enrolled there."""
        tidy = " ".join(name.split())
        problems = []
        if not tidy or len(tidy) > LONGEST_NAME or not tidy.isprintable():
            problems.append(Problem("name", f"1 to {LONGEST_NAME} characters"))
        with self._database.read() as tx:
            zone = tx.zones.named(place.id, zone_name)
        if zone is None or zone.kind == "blocked":
            problems.append(Problem("zone", "a zone of this establishment in which people sign in"))
        if problems:
            raise WrongInput(problems)
        return tidy

    def workstation_pass(self, agent: Agent, place: Establishment, *, zone_name: str, name: str, is_shared: bool) -> tuple[str, Pass]:
        """A pass that enrols one computer, to be shown once, and what is kept of it. Raises WrongInput, ActRefused."""
        tidy = self.read_workstation(place, zone_name, name)
        with self._database.write() as tx:
            self._authority.demand(tx, Act.EDIT_PLACE, agent, establishment=place)
            _refuse_ended(tx, place)
            zone = self.named_zone(tx, place, zone_name)
            wanted = NewPass(purpose="workstation", establishment_id=place.id, zone_id=zone.id, is_shared=is_shared, label=tidy)
            return self._passes.issue(tx, wanted, agent.author)

    def workstation(self, place: Establishment, workstation_id: str) -> Workstation:
        """An enrolled computer of the establishment; ActRefused when there is none."""
        with self._database.read() as tx:
            found = tx.workstations.get(workstation_id)
        if found is None or found.ended_at is not None or found.establishment_id != place.id:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, Act.EDIT_PLACE, establishment_id=place.id)
        return found

    def end_workstation(self, agent: Agent, place: Establishment, workstation_id: str) -> Ended:
        """End an enrolled computer and the Sessions that were opened on it. Raises ActRefused."""
        found = self.workstation(place, workstation_id)
        with self._database.write() as tx:
            self._authority.demand(tx, Act.EDIT_PLACE, agent, establishment=place)
            cause = Cause(Reason.ENDED_BY_OPERATOR, agent.author.actor, agent.author.origin)
            return end_workstation(tx, found, cause, clock=self._clock) or Ended()


def _refuse_ended(tx: Transaction, place: Establishment) -> None:
    present = tx.establishments.get(place.id)
    if present is None or present.ended_at is not None:
        raise ActRefused(Reason.ACT_TARGET_UNKNOWN, Act.EDIT_PLACE, establishment_id=place.id)


def refuse_configured(source: str, name: str) -> None:
    """NotYours when the configuration file owns it: the next start would undo the change."""
    if source == registry.CONFIGURATION:
        raise NotYours("belongs_to_configuration", name)
