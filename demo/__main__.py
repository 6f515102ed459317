"""`python -m demo`: prepare, seed once, start the identity provider and the care application, announce, and stop both together.

What it does to the identity provider it does by the real `vestibule` commands. Data are kept in .demo/ between runs.
"""

import argparse
import fcntl
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo.people import FIRST_PASSWORD, PASSWORD, PEOPLE, Whereabouts
from demo.place import CLIENT_ID, Place, program
from demo.processes import Server, free_port, is_free, start, wait_until_healthy, wait_until_one_ends

HEALTHY_SECONDS = 60


def main() -> int:
    """Run until Ctrl-C (0) or until something breaks (1)."""
    options = _options()
    place = Place(options.folder.absolute(), port=options.port, app_port=options.app_port, admin_port=free_port())
    for port, variable in ((options.port, "PORT"), (options.app_port, "APP_PORT")):
        if not is_free(port):
            print(
                f"Le port {port} est déjà pris : make run {variable}={free_port()}\nPort {port} is taken: choose another one, as above.",
                file=sys.stderr,
            )
            return 1
    with _alone(place.folder) as is_alone:
        if not is_alone:
            print(f"Une démonstration tourne déjà dans {place.folder}. / A demonstration already runs there.", file=sys.stderr)
            return 1
        if options.fresh:
            place.empty()
        place.prepare()
        from demo.seed import CommandFailed, migrate  # brings the whole program: whoever is refused above need not wait for it

        try:
            migrate(place)
            return _serve(place)
        except CommandFailed as failed:
            print(f"{failed}\nRien n'est perdu : make run-fresh repart de zéro. / make run-fresh starts over.", file=sys.stderr)
            return 1


def _serve(place: Place) -> int:
    from demo.seed import seed

    servers: list[Server] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        print("Démarrage… / Starting…", flush=True)
        servers.append(_start_provider(place))
        broken = wait_until_healthy(servers, seconds=HEALTHY_SECONDS)
        if broken is None:
            seed(place)
            servers.append(_start_care_app(place))
            broken = wait_until_healthy(servers, seconds=HEALTHY_SECONDS)
        if broken is None:
            print(announcement(place), flush=True)
            broken = wait_until_one_ends(servers)
        print(f"\n{broken.name} s'est arrêté. / {broken.name} stopped. {broken.log}\n{broken.last_words()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nArrêt… / Stopping…", flush=True)
        return 0
    finally:
        # A second Ctrl-C must not leave a server behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for server in reversed(servers):
            server.stop()


def _start_provider(place: Place) -> Server:
    command = [str(program()), "--config", str(place.config), "serve"]
    return start("Vestibule", command, log=place.idp_log, health=f"{place.issuer}/readyz", environment={})


def _start_care_app(place: Place) -> Server:
    command = ["-m", "demo.care_app", "--issuer", place.issuer, "--client-id", CLIENT_ID, "--port", str(place.app_port)]
    command += ["--telephone", str(place.folder), "--config", str(place.config)]
    environment = {"CARNET_CLIENT_SECRET": place.client_secret(), "PYTHONUNBUFFERED": "1"}
    return start("Carnet de soins", [sys.executable, *command], log=place.app_log, health=f"{place.app_url}/sante", environment=environment)


def announcement(place: Place) -> str:
    """What the terminal shows when both answer."""
    widths = [max(len(person.username) for person in PEOPLE), max(len(person.french) for person in PEOPLE)]
    groups = [
        "\n".join(
            [
                f"  {' / '.join(where.value)}",
                *(
                    f"    {person.username:<{widths[0]}}  {person.french:<{widths[1]}}  {person.english}"
                    for person in PEOPLE
                    if person.whereabouts is where
                ),
            ]
        )
        for where in Whereabouts
    ]
    shown = "\n".join(groups)
    explain = f"{_shown(program())} --config {_shown(place.config)} policy explain --person fatou.diallo --from 127.0.0.1"
    return f"""
  Carnet de soins (application)        {place.app_url}   <- commencez ici / start here
  Le téléphone de la démonstration     {place.app_url}/telephone   <- les codes / the codes
  Un départ / a departure              {place.app_url}/depart   <- l'accès est coupé sous vos yeux / access cut before your eyes
  Vestibule (connexion, sign-in)       {place.issuer}/account
  La console / the console             {place.issuer}/admin   (nadia.ferrand, denis.aubry, julie.perrin)

  Mot de passe de tous / everybody's password: {PASSWORD}   (lea.moreau: {FIRST_PASSWORD})

{shown}

  Pourquoi ? / Why?  {explain}
  Journaux / logs: {_shown(place.idp_log)}, {_shown(place.app_log)}
  Données gardées dans {_shown(place.folder)} ; make run-fresh repart de zéro. / Data are kept; make run-fresh starts over.
  Ctrl-C arrête tout. / Ctrl-C stops everything.
"""


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else runs a demonstration in the folder; held until the end."""
    # Beside the folder, not in it: --fresh deletes the folder.
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="The demonstration of Vestibule.")
    parser.add_argument("--port", type=int, default=8400, help="port of the identity provider (8400)")
    parser.add_argument("--app-port", type=int, default=8401, help="port of the care application (8401)")
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="where data are kept (.demo)")
    parser.add_argument("--fresh", action="store_true", help="throw the data away first")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
