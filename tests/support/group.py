"""A group of homes as its configuration: a file for each home, with its zones and numbers. The tests of size and bench/group.py share it."""

from pathlib import Path
from typing import Any

import yaml

ZONES = ("lan", "postes-de-soins", "vpn", "sortie")


def slug(number: int) -> str:
    """The slug of the home of this number, from 0 on."""
    return f"residence-{number:03}"


def finess(number: int) -> str:
    """Its FINESS number."""
    return f"69{number:07}"


def home(number: int, name: str = "") -> dict[str, Any]:
    """A home with four zones of its own, none of which is in another home; `number` below 1,024."""
    high, low = divmod(number, 4)
    networks = (f"10.{high}.{low * 64}.0/19", f"10.{high}.{low * 64 + 32}.0/20", f"10.{high}.{low * 64 + 48}.0/20")
    kinds = ("trusted", "shared_workstation", "vpn")
    zones: list[dict[str, Any]] = [
        {"name": zone, "kind": kind, "networks": [network]} for zone, kind, network in zip(ZONES, kinds, networks, strict=False)
    ]
    zones.append(
        {
            "name": ZONES[3],
            "kind": "trusted",
            "networks": [f"203.{high}.{low * 64}.7/32"],
            "egress": True,
            "guests_apart": "Direction, le 2026-01-05",
        }
    )
    return {
        "slug": slug(number),
        "name": name or f"Résidence n° {number}",
        "finess": finess(number),
        "siret": f"123456782{number:05}",
        "contact": {"name": "Informatique", "phone": "01 23 45 67 89", "email": f"informatique@{slug(number)}.example"},
        "regulatory_level": "rie-2026",
        "zones": zones,
    }


def write_home(folder: Path, number: int, name: str = "", **changes: Any) -> Path:
    """The file of one home, homes/<slug>.yaml below the configuration's folder; `changes` are other settings of it."""
    path = folder / "homes" / f"{slug(number)}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({"establishments": [home(number, name) | changes]}, allow_unicode=True), encoding="utf-8")
    return path


def write_homes(folder: Path, count: int, **changes: Any) -> None:
    """The files of so many homes; the configuration includes homes/*.yaml."""
    for number in range(count):
        write_home(folder, number, **changes)
