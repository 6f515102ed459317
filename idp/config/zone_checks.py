"""What several zones say together, and what an establishment's settings about them mean: findings for check-config.

Pure functions on the models; policies/zones.py knows what overlaps. Sources: the issue's rules on egress and proxies; CNIL délibération 2025-019 and
the référentiel d'identification électronique (arrêté of 28 March 2022) for the levels.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from idp.config.findings import Finding
from idp.config.values import Network
from policies.zones import ZoneFacts, overlaps

if TYPE_CHECKING:
    from idp.config.models import EstablishmentSettings

LONGEST_LABEL = 80
NAMED = 5


def check_zones(establishments: "Mapping[int, EstablishmentSettings]", trusted_proxies: Iterable[Network]) -> Iterable[Finding]:
    """Zones of one file: each by itself, against each other, and against the proxies that stand in front."""
    facts: list[ZoneFacts] = []
    for index, establishment in establishments.items():
        names: set[str] = set()
        for number, zone in enumerate(establishment.zones):
            path = f"establishments[{index}].zones[{number}]"
            if zone.name in names:
                yield Finding("error", f"{path}.name", f"{zone.name} is already used")
                continue
            names.add(zone.name)
            if len(f"{establishment.slug}/{zone.name}") > LONGEST_LABEL:
                yield Finding(
                    "error",
                    f"{path}.name",
                    f"{establishment.slug}/{zone.name} is longer than {LONGEST_LABEL} characters: take a shorter name",
                )
            if zone.egress and not zone.guests_apart:
                yield Finding(
                    "warning",
                    path,
                    "a whole site leaves by this address, guests' phones too: it is inside only on enrolled workstations"
                    " (vestibule workstation pass), unless guests_apart says who declared that guests leave elsewhere",
                )
            facts.append(zone.facts(path, str(index), slug=establishment.slug, time_zone=establishment.time_zone))
    for overlap in overlaps(facts, trusted_proxies):
        yield Finding("error", overlap.zone_id, overlap.text)


def check_levels(establishments: "Iterable[EstablishmentSettings]") -> Iterable[Finding]:
    """One warning for all establishments of the tolerant level: with 400 of them, a line each would hide the rest."""
    slugs = [establishment.slug for establishment in establishments if establishment.regulatory_level == "tolerant"]
    if slugs:
        named = ", ".join(slugs[:NAMED]) + (f" and {len(slugs) - NAMED} others" if len(slugs) > NAMED else "")
        yield Finding(
            "warning",
            "establishments",
            f"regulatory_level is tolerant at {named}: since 2026-01-01 a password alone, even on the establishment's own network, is not"
            " accepted for health professionals (référentiel d'identification électronique); plan rie-2026 or psc",
        )
