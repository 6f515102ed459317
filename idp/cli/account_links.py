"""`vestibule account link, unlink, merge, unmerge`: one natural person is one account. Arguments and what is shown; the acts are idp.people's and
idp.signin.links'. Each asks why, for the trail."""

from typing import Any

import click

from connectors.base import SourceMisbehaved, SourceUnreachable
from idp.audit import EventType, Reason
from idp.cli.place import Place, command, fail
from idp.people import accounts, merging
from idp.signin.links import LinkRefused as NotLinked
from idp.signin.links import NewLink, link, record, reserve, unlink
from idp.store.base import Account
from idp.store.database import Transaction

OBSTACLES = {
    "linked_to_another": "that person of {connector} is linked to another account: unlink it there first",
    "linked_already": "{name} is linked to another person of {connector} already: unlink that one first",
    "account_not_active": "{name} is not an active person's account",
}


@click.command("link")
@click.argument("who")
@click.option("--connector", required=True, help="The directory or provider, by its name in the configuration.")
@click.option("--subject", required=True, help="The person's lasting id there: objectGUID or entryUUID, tid/oid, sub.")
@click.option("--reason", "why", required=True, help="How you know that both are the same person; kept in the trail.")
@command
def link_account(place: Place, who: str, *, connector: str, subject: str, why: str) -> None:
    """Link WHO to a person of a directory or provider, with nobody's proof but your word."""
    is_directory = any(one.name == connector for one in place.config.directories)
    if not is_directory and all(one.name != connector for one in place.config.providers):
        fail(f"the configuration has no directory and no provider {connector}")
    subject = subject.strip()
    if is_directory:
        _check_in_directory(place, connector, subject)
    author = place.author
    refusal: NotLinked | None = None
    with place.database.write() as tx:
        reserve(tx, connector, subject)
        found = accounts.named(tx, who)
        new = NewLink(connector=connector, subject=subject, kind="directory" if is_directory else "upstream", how="operator")
        try:
            link(tx, found.id, new, author=author, clock=place.clock, why=why)
        except NotLinked as refused:
            refusal = refused
            record(
                tx, EventType.ACCOUNT_LINK_REFUSED, found.id, author, connector=connector, clock=place.clock, reason=Reason(refused.reason)
            )
    if refusal is not None:
        fail(OBSTACLES[refusal.reason].format(connector=connector, name=found.name))
    click.echo(f"{found.name} ({found.id}) linked to {subject} of {connector}")


@click.command("unlink")
@click.argument("who")
@click.option("--connector", required=True, help="The directory or provider, by its name.")
@click.option("--subject", help="The person's lasting id there, when the account is linked to several.")
@click.option("--reason", "why", required=True, help="Why; kept in the trail.")
@command
def unlink_account(place: Place, who: str, *, connector: str, subject: str | None, why: str) -> None:
    """Let the person of a directory or provider be nobody's: what began with its word ends. Only a proven act, or `link`, links them again."""
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        chosen = [one for one in tx.links.of_account(found.id) if one.connector == connector and subject in {None, one.subject}]
        ended = [unlink(tx, one, place.author, clock=place.clock, why=why) for one in chosen]
    if not chosen:
        fail(f"{found.name} is not linked to {connector}")
    click.echo(f"{found.name} unlinked from {connector}; {sum(one.sessions for one in ended)} sessions ended")


@click.command("merge")
@click.argument("keep")
@click.argument("retire")
@click.option("--reason", "why", required=True, help="How you know that both are one person; kept in the trail.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def merge_accounts(place: Place, keep: str, retire: str, *, why: str, yes: bool) -> None:
    """Make one account of two of the same person: KEEP, the older, goes on with what RETIRE had; RETIRE is closed and its id never used again."""
    with place.database.read() as tx:
        kept, retired = accounts.named(tx, keep), accounts.named(tx, retire)
    if not yes:
        click.confirm(f"Keep {kept.name} ({kept.id}) and retire {retired.name} ({retired.id})?", abort=True)
    with place.database.write() as tx:
        done = merging.merge(tx, kept, retired, place.author, why=why, clock=place.clock)
    if done is None:
        click.echo(f"{retired.name} ({retired.id}) went into {kept.name} ({kept.id}) already")
        return
    moved = ", ".join(f"{1 if isinstance(keys, str) else len(keys)} {kind}" for kind, keys in done.merge.moved.items() if keys)
    click.echo(f"{retired.id} is retired into {kept.name} ({kept.id}); moved: {moved or 'nothing'}; {done.ended.sessions} sessions ended")


@click.command("unmerge")
@click.argument("retired", metavar="RETIRED")
@click.option("--reason", "why", required=True, help="Why; kept in the trail.")
@command
def unmerge_account(place: Place, retired: str, *, why: str) -> None:
    """Undo the merge that retired RETIRED (its id): it has back what moved and still stands."""
    with place.database.write() as tx:
        found = accounts.named(tx, retired)
        done = merging.unmerge(tx, found, place.author, why=why, clock=place.clock)
    if done is None:
        click.echo(f"{found.name} ({found.id}) is merged into nobody: nothing to undo")
        return
    click.echo(f"{found.name} ({found.id}) is its own account again; {done.ended.sessions} sessions ended")


def _check_in_directory(place: Place, connector: str, subject: str) -> None:
    """A lasting id that the directory does not have would be read as somebody who left: the account would be cut at once."""
    from idp.cli.directories import opened, trouble_of

    with opened(place, connector) as directories:
        directory = directories.get(connector)
        try:
            found = directory.find(subject) if directory is not None else None
        except (SourceUnreachable, SourceMisbehaved) as trouble:
            fail(f"{connector} could not be asked: {trouble_of(trouble)}")
    if found is None:
        fail(f"{connector} has nobody of the lasting id {subject}")


def shown_links(tx: Transaction, found: Account) -> dict[str, Any]:
    """What `account show` says of links and merges."""
    return {
        "cut_by": found.cut_by,
        "merged_into": found.merged_into,
        "links": [
            {
                "connector": one.connector,
                "subject": one.subject,
                "kind": one.kind,
                "how": one.how,
                "since": one.created_at,
                "word": one.word,
                "word_at": one.word_at,
            }
            for one in tx.links.of_account(found.id)
        ],
        "merges": [
            {
                "kept": one.kept_id,
                "retired": one.retired_id,
                "at": one.merged_at,
                "undone_at": one.undone_at,
                "actor": one.actor,
                "why": one.why,
            }
            for one in tx.merges.of_account(found.id)
        ],
    }
