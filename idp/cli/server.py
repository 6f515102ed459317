"""`vestibule serve` and `vestibule work`: handed at once to idp.serve and idp.work, which are imported only then."""

import os

import click

from idp.cli.place import Place, command


@click.command()
@command
def serve(place: Place) -> None:
    """Serve people and applications, with one worker beside.

    Migrates the store and applies the configuration first; refuses to start when either is wrong. SIGTERM or Ctrl-C stops it, once requests that
    have begun are answered.
    """
    from idp.serve import serve as run

    run(place.config_path, place.author)


@click.command()
@command
def work(place: Place) -> None:
    """Only the worker: notices to applications, endings, sweeps, keys and the admin listener. `serve` starts one by itself."""
    from idp.work import work as run

    os.environ.setdefault("VESTIBULE_CONFIG", str(place.config_path.absolute()))
    _ = place.database  # refuses a store that is not migrated
    run(place.config_path)
