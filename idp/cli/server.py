"""`vestibule serve`, `reload` and `work`: handed at once to idp.serve, idp.reload and idp.work, which are imported only then."""

import os

import click

from idp.cli.place import Place, command, operating_user


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
def reload(place: Place) -> None:
    """Have the running server read its configuration again, without a stop.

    The file is checked and tried first: when anything is wrong with it, every error is printed and the server goes on as it was. People who are
    signing in notice nothing; server processes are replaced one after another. With several hosts, reload each.
    """
    from idp.reload import ask

    done = False
    for said in ask(place.config_path, operating_user()):
        if isinstance(said, bool):
            done = said
        else:
            click.echo(said)
    if not done:
        raise SystemExit(1)


@click.command()
@command
def work(place: Place) -> None:
    """Only the worker: notices to applications, endings, sweeps, keys and the admin listener. `serve` starts one by itself."""
    from idp.work import work as run

    os.environ.setdefault("VESTIBULE_CONFIG", str(place.config_path.absolute()))
    _ = place.database  # refuses a store that is not migrated
    run(place.config_path)
