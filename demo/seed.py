"""Fills the demonstration once, by the real `vestibule` commands, in this process (thirty starts of Python would take half a minute).

Each step is taken only if it is missing, so that an interrupted first run is completed by the next one, and a folder of an earlier release is given
what that release did not know. After that nothing is touched: what a visitor changed stays changed.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from click.testing import CliRunner

from demo.people import PEOPLE, DemoPerson
from demo.place import Place
from demo.proofs import NotEnrolled, enrol
from idp.cli import vestibule
from idp.errors import VestibuleError

# What `account show` would say of a new account, which has its first post.
NEW: Mapping[str, Any] = {"attachments": [None], "password": None, "status": "active"}
# What the folder has been given: "2" by the release that knew no desk, nothing by the one before, which knew no second factors.
WITH_DESK = "3"


class CommandFailed(Exception):
    """A command did not succeed; the text is what it printed."""


def migrate(place: Place) -> None:
    """Create the databases, or bring them to this version."""
    _run(place, ["migrate"])


def seed(place: Place) -> None:
    """Add the people, then their second proofs. The establishments are in the configuration, which `serve` has applied. Raises CommandFailed."""
    if not place.seeded.exists() or place.seeded.read_text(encoding="utf-8").strip() != WITH_DESK:
        _add_people(place)
        place.seeded.touch()
        print("  deuxièmes preuves / second proofs", flush=True)
        try:
            enrol(place)
        except (VestibuleError, NotEnrolled) as error:
            raise CommandFailed(f"{error}\nDans une minute, make run reprend ici. / In a minute, make run goes on from here.") from error
        place.seeded.write_text(WITH_DESK, encoding="utf-8")


def _add_people(place: Place) -> None:
    present = {account["username"] for account in json.loads(_run(place, ["account", "list", "--json"]))}
    today = date.today()  # noqa: DTZ011 - a day of the machine's own calendar, for an invented contract
    for number, person in enumerate(PEOPLE, start=1):
        print(f"\r  {number}/{len(PEOPLE)} personnes / people", end="", flush=True)
        is_new = person.username not in present
        if is_new:
            _add(place, person, today)
        _complete(place, person, today, shown=NEW if is_new else None)
    print()


def _add(place: Place, person: DemoPerson, today: date) -> None:
    words = ["--username", person.username, "--given-name", person.given_name, "--family-name", person.family_name]
    if person.email:
        words += ["--email", person.email]
    if person.staff_number:
        words += ["--staff-number", person.staff_number]
    if person.posts:
        first, last_day = person.posts[0], person.posts[0].last_day(today)
        words += ["--establishment", first.establishment, "--profile", first.profile]
        words += ["--sector", first.sector] if first.sector else []
        words += ["--last-day", last_day.isoformat()] if last_day else []
    _run(place, ["account", "add", "--demo", *words])


def _complete(place: Place, person: DemoPerson, today: date, *, shown: Mapping[str, Any] | None) -> None:
    shown = shown or json.loads(_run(place, ["account", "show", person.username]))
    for post in person.posts[len(shown["attachments"]) :]:
        words = ["--profile", post.profile, *(["--sector", post.sector] if post.sector else [])]
        last_day = post.last_day(today)
        words += ["--last-day", last_day.isoformat()] if last_day else []
        _run(place, ["account", "attach", person.username, post.establishment, *words])
    if shown["password"] is None:
        keep = [] if person.must_change else ["--no-must-change"]
        _run(place, ["account", "set-password", person.username, "--stdin", *keep], typed=f"{person.password}\n")
    if person.is_suspended and shown["status"] == "active":
        _run(place, ["account", "suspend", person.username])


def _run(place: Place, arguments: Sequence[str], *, typed: str = "") -> str:
    done = CliRunner().invoke(vestibule, ["--config", str(place.config), *arguments], input=typed)
    if done.exit_code != 0:
        raise CommandFailed(f"vestibule {' '.join(arguments)}: {done.output.strip()} {done.exception or ''}")
    return done.stdout
