"""`vestibule account`: people. Arguments, prompts and what is shown; the acts are idp.people's."""

import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from idp.cli.account_desk import show_stuck, unlock_account
from idp.cli.account_links import link_account, merge_accounts, shown_links, unlink_account, unmerge_account
from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.people import accounts, attachments, passwords, values
from idp.signin.password_change import load_block_list
from idp.store.base import Account, Attachment, Establishment
from idp.store.database import Transaction
from policies.passwords import BlockList


@click.group()
def account() -> None:
    """People: create, attach, link, merge, cut off, import."""


for one in (link_account, unlink_account, merge_accounts, unmerge_account, show_stuck, unlock_account):
    account.add_command(one)


@account.command("add")
@click.option("--username", help="What the person types to sign in.")
@click.option("--email", help="E-mail address; signs in too.")
@click.option("--staff-number", help="Number given by the establishment; signs in too.")
@click.option("--establishment", "slug", help="Attach to this establishment; the staff number is unique within it.")
@click.option("--given-name", default="", help="Given name.")
@click.option("--family-name", default="", help="Family name.")
@click.option("--phone", "phone_number", help="Phone number; a French one may be written as people do.")
@click.option("--locale", type=click.Choice(["fr", "en"]), help="Language of the person.")
@click.option("--profile", help="Profile at --establishment; without it the account is not attached.")
@click.option("--sector", help="Sector at --establishment.")
@click.option("--first-day", help="First day there: 2026-12-31 or 31/12/2026.")
@click.option("--last-day", help="Last day there.")
@click.option("--generate", is_flag=True, help="Also set a one-time password and print it.")
@click.option("--demo", is_flag=True, help="A demonstration account; only where the configuration says demo: true.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def add(place: Place, /, *, slug: str | None, generate: bool, demo: bool, as_json: bool, **given: Any) -> None:
    """Create an account."""
    if demo and not place.config.demo:
        fail("--demo: the configuration does not allow demonstration accounts (demo: true)")
    attachment = {name: given.pop(name) for name in ("profile", "sector", "first_day", "last_day")}
    if any(attachment.values()) and not (slug and attachment["profile"]):
        fail("to attach the person, give both --establishment and --profile")
    password = passwords.generate(place.clock, _blocked(place)) if generate else None
    encoded = place.hasher.hash(password) if password else None
    with place.database.write() as tx:
        establishment = _establishment(tx, slug) if slug else None
        new = accounts.NewAccount(**given, establishment=establishment, is_demo=demo)
        added = accounts.add(tx, new, place.author, clock=place.clock)
        if establishment and attachment["profile"]:
            _attach(place, tx, added, establishment, attachment)
        if encoded:
            passwords.write(tx, added, encoded, place.author, must_change=True, clock=place.clock)
    if as_json:
        show_json({"id": added.id, "password": password})
        return
    click.echo(f"{added.name} added: {added.id}")
    _show_password(password)


@account.command("set-password")
@click.argument("who")
@click.option("--generate", is_flag=True, help="Make a one-time password and print it, once.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read it from standard input.")
@click.option("--no-must-change", is_flag=True, help="Demonstration accounts only: the person need not change it at the next sign-in.")
@command
def set_password(place: Place, who: str, *, generate: bool, from_stdin: bool, no_must_change: bool) -> None:
    """Set the local password of WHO; it must be changed at the next sign-in.

    Every session of the person ends. Without --generate or --stdin the password is asked for. The same rules apply as for people themselves.
    """
    with place.database.read() as tx:
        found = accounts.named(tx, who)
        words = passwords.personal_words(tx, found)
    if found.status == "ended":
        fail(f"{found.name} has ended")
    if found.is_break_glass:
        fail(f"{found.name} is a break-glass account: `vestibule break-glass seal` gives it a new password")
    if no_must_change and not (found.is_demo and place.config.demo):
        fail("--no-must-change is only for demonstration accounts: a password that somebody else knows must be changed")
    blocked = _blocked(place)
    password = passwords.generate(place.clock, blocked) if generate else _read_password(from_stdin=from_stdin)
    codes = passwords.judge(password, words=words, blocked=blocked)
    if not codes:
        with place.database.read() as tx:
            codes = ("password_reused",) if passwords.is_reused(tx, found, password, place.hasher) else ()
    if codes:
        with place.database.write() as tx:
            passwords.record_refusal(tx, found, place.author, codes=codes, clock=place.clock)
        fail(f"the password is refused: {', '.join(codes)}")
    encoded = place.hasher.hash(password)
    with place.database.write() as tx:
        ended = passwords.write(tx, found, encoded, place.author, must_change=not no_must_change, clock=place.clock)
        place.messenger.tell(tx, found, "password_changed", {}, author=place.author)
    click.echo(f"password of {found.name} set; {ended.sessions} sessions and {ended.grants} grants ended", err=generate)
    _show_password(password if generate else None)


@account.command("suspend")
@click.argument("who")
@command
def suspend(place: Place, who: str) -> None:
    """Cut WHO off now: sessions and tokens end and applications are told. Can be undone by reinstate."""
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        ended = accounts.suspend(tx, found, place.author, clock=place.clock)
    click.echo(f"{found.name} suspended: {ended.sessions} sessions and {ended.grants} grants ended, {ended.notices} applications to tell")


@account.command("reinstate")
@click.argument("who")
@command
def reinstate(place: Place, who: str) -> None:
    """Let WHO, who was suspended, sign in again."""
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        accounts.reinstate(tx, found, place.author, clock=place.clock)
    click.echo(f"{found.name} reinstated")


@account.command("end")
@click.argument("who")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def end(place: Place, who: str, *, yes: bool) -> None:
    """Close the account of WHO for good. Its identifiers stay its own for ever."""
    with place.database.read() as tx:
        found = accounts.named(tx, who)
    if not yes:
        click.confirm(f"Close the account of {found.name} ({found.id}) for good?", abort=True)
    with place.database.write() as tx:
        ended = accounts.end(tx, accounts.named(tx, found.id), place.author, clock=place.clock)
    click.echo(f"{found.name} ended: {ended.sessions} sessions and {ended.grants} grants ended, {ended.notices} applications to tell")


@account.command("attach")
@click.argument("who")
@click.argument("slug")
@click.option("--profile", required=True, help="One of the configuration's profiles.")
@click.option("--sector", help="Sector, for instance a floor.")
@click.option("--first-day", help="First day: 2026-12-31 or 31/12/2026. Default: already.")
@click.option("--last-day", help="Last day; access closes at noon of the next day unless configured otherwise. Default: none.")
@command
def attach(place: Place, /, who: str, slug: str, **given: Any) -> None:
    """Attach WHO to the establishment SLUG."""
    with place.database.write() as tx:
        establishment = _establishment(tx, slug)
        found = accounts.named(tx, who, establishment_id=establishment.id)
        made = _attach(place, tx, found, establishment, given)
    click.echo(f"{found.name} attached to {establishment.name} as {made.profile}: {made.id}")
    if made.valid_until:
        click.echo(f"until {made.valid_until.isoformat(timespec='minutes')}")


@account.command("detach")
@click.argument("who")
@click.argument("slug")
@click.option("--attachment", "attachment_id", help="Only this attachment. Default: all of them there.")
@command
def detach(place: Place, who: str, slug: str, *, attachment_id: str | None) -> None:
    """End the attachment of WHO to the establishment SLUG now, and the sessions that stand on it."""
    with place.database.write() as tx:
        establishment = tx.establishments.by_slug(slug)
        if establishment is None:
            fail(f"no establishment {slug}")
        found = accounts.named(tx, who, establishment_id=establishment.id)
        live = [
            item
            for item in tx.people.attachments(found.id)
            if item.establishment_id == establishment.id and item.ended_at is None and attachment_id in {None, item.id}
        ]
        if not live:
            fail(f"{found.name} is not attached to {establishment.name}")
        ended = [attachments.detach(tx, item, place.author, clock=place.clock) for item in live]
    sessions = sum(item.sessions for item in ended)
    click.echo(f"{found.name}: {len(live)} attachment(s) to {establishment.name} ended, with {sessions} sessions")


@account.command("list")
@click.argument("text", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_accounts(place: Place, text: str, *, as_json: bool) -> None:
    """List accounts; with TEXT, those whose name or identifier begins with it."""
    with place.database.read() as tx:
        found = tx.search.people(text, places=None, now=place.clock.now(), skip=0, count=1000) if text else tuple(tx.people.all())
    if as_json:
        show_json([_summary(item) for item in found])
        return
    rows = [(item.id, item.name, item.username, item.email, item.status, "demo" if item.is_demo else "") for item in found]
    show_table(("id", "name", "username", "e-mail", "status", ""), rows)


@account.command("show")
@click.argument("who", metavar="WHO")
@command
def show(place: Place, who: str) -> None:
    """Print everything about WHO, as JSON: identifiers, attachments, open sessions. Never a password."""
    with place.database.read() as tx:
        found = accounts.named(tx, who)
        slugs = {item.establishment_id: tx.establishments.get(item.establishment_id) for item in tx.people.attachments(found.id)}
        password = tx.people.password(found.id)
        shown = {
            **_summary(found),
            "identifiers": [
                {"kind": kind, "value": value, "scope": scope or None} for kind, value, scope in tx.people.identifiers(found.id)
            ],
            "password": {"changed_at": password.changed_at.isoformat(), "must_change": password.must_change} if password else None,
            "last_sign_in": tx.events.last_sign_in(found.id),
            "attachments": [
                {
                    "id": item.id,
                    "establishment": place_of.slug if (place_of := slugs[item.establishment_id]) else item.establishment_id,
                    "profile": item.profile,
                    "sector": item.sector,
                    "first_day": item.first_day,
                    "last_day": item.last_day,
                    "valid_until": item.valid_until,
                    "ended_at": item.ended_at,
                }
                for item in tx.people.attachments(found.id)
            ],
            "sessions": [
                {"id": item.id, "since": item.created_at, "last_active_at": item.last_active_at, "address": item.address}
                for item in tx.sessions.open_of(found.id)
            ],
            **shown_links(tx, found),
        }
    show_json(shown)


@account.command("unblock")
@click.argument("who")
@command
def unblock(place: Place, who: str) -> None:
    """Forget the failed sign-ins of WHO and open what they have locked, so that the person may try again. What a directory counts is its own:
    see `account unlock`."""
    from idp.signin.throttle import LoginThrottle

    has_directories = bool(place.config.directories)
    throttle = LoginThrottle(
        place.database, place.ephemeral, place.keyring, clock=place.clock, settings=place.config.lockout, has_directories=has_directories
    )
    with place.database.write() as tx:
        found = accounts.named(tx, who)
        lifted = throttle.unblock(tx, found.id, place.author)
        if lifted:
            place.messenger.tell(tx, found, "account_unlocked", {}, author=place.author)
    click.echo(f"{found.name} may try again at once; {lifted} locks lifted")


@account.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("--keep-good", is_flag=True, help="Import the good lines even when others are wrong. Default: all or nothing.")
@click.option("--attach-existing", is_flag=True, help="A line about somebody already there, of the same name, adds its attachment.")
@click.option(
    "--passwords",
    "password_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Give each new account a one-time password, written to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@command
def import_accounts(
    place: Place, file: Path, *, dry_run: bool, keep_good: bool, attach_existing: bool, password_file: Path | None, as_json: bool
) -> None:
    """Create accounts from a CSV file.

    Columns, in any order, by their French or English names: username (identifiant), email (courriel), staff_number (matricule), given_name
    (prénom), family_name (nom), phone (téléphone), establishment (établissement: its slug or name), profile (profil), sector (secteur),
    first_day (premier jour), last_day (dernier jour), locale (langue). Separator ; , or tab; UTF-8, UTF-16 or Windows-1252. A person on several
    lines gets several attachments. Exit code 2 when a line is wrong.
    """
    from idp.cli.account_import import run

    run(
        place,
        file,
        is_dry_run=dry_run,
        keeps_good=keep_good,
        attaches_existing=attach_existing,
        password_file=password_file,
        as_json=as_json,
    )


def _blocked(place: Place) -> BlockList:
    return load_block_list(place.config.passwords.block_list)


def _establishment(tx: Transaction, slug: str) -> Establishment:
    found = tx.establishments.by_slug(slug)
    if found is None or found.ended_at is not None:
        fail(f"no establishment {slug}")
    return found


def _attach(place: Place, tx: Transaction, found: Account, establishment: Establishment, given: dict[str, Any]) -> Attachment:
    new = attachments.check(
        attachments.NewAttachment(
            establishment=establishment,
            profile=given["profile"],
            sector=given["sector"],
            first_day=_day(given["first_day"], "first_day"),
            last_day=_day(given["last_day"], "last_day"),
        ),
        profiles=place.config.profiles,
    )
    return attachments.attach(tx, found, new, place.author, settings=place.config.attachments, clock=place.clock)


def _day(text: str | None, what: str) -> date | None:
    return values.day(text, what) if text else None


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed


def _show_password(password: str | None) -> None:
    if password is not None:
        click.echo("one-time password (shown this once):", err=True)
        click.echo(password)


def _summary(found: Account) -> dict[str, Any]:
    return {
        "id": found.id,
        "status": found.status,
        "username": found.username,
        "given_name": found.given_name,
        "family_name": found.family_name,
        "email": found.email,
        "phone_number": found.phone_number,
        "is_demo": found.is_demo,
        "created_at": found.created_at.isoformat(),
        "ended_at": found.ended_at.isoformat() if found.ended_at else None,
    }
