"""`vestibule client`: register, change, list, show and withdraw the applications that the configuration file does not name.

A secret is made here, shown once and kept as a digest: nobody can read it again.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from idp import registry
from idp.cli.output import show_json, show_table
from idp.cli.place import Place, command, fail
from idp.config import ClientSettings, check_client, check_reach, check_roles
from idp.crypto import digest

LISTS = (
    "redirect_uris",
    "post_logout_redirect_uris",
    "grant_types",
    "scopes",
    "establishments",
    "profiles",
    "roles",
    "resources",
    "audiences",
)


@click.group()
def client() -> None:
    """Applications that ask us to sign people in."""


def _registration(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `add` and `change` have in common."""
    options = (
        click.option("--redirect-uri", "redirect_uris", multiple=True, help="Exact redirect URI; repeat for several."),
        click.option("--post-logout-redirect-uri", "post_logout_redirect_uris", multiple=True, help="Where a sign-out may return; repeat."),
        click.option("--backchannel-logout-uri", help="Where logout tokens are sent."),
        click.option(
            "--grant-type", "grant_types", multiple=True, help="authorization_code (default), refresh_token, client_credentials; repeat."
        ),
        click.option("--scope", "scopes", multiple=True, help="Scope it may ask; repeat. Default: openid profile email establishment."),
        click.option("--establishment", "establishments", multiple=True, help="Establishment it serves; repeat. Default: all."),
        click.option("--profile", "profiles", multiple=True, help="Profile it serves; repeat. Default: all."),
        click.option(
            "--role",
            "roles",
            multiple=True,
            metavar="PROFILE=ROLE",
            help="What a profile is called there; repeat. Profiles that are not named have no role. Default: the profile is the role.",
        ),
        click.option("--resource", "resources", multiple=True, help="Resource indicator it may ask (RFC 8707); repeat."),
        click.option("--audience", "audiences", multiple=True, help="Audience it answers for as an API, and may introspect; repeat."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@client.command("add")
@click.argument("client_id")
@click.option("--name", required=True, help="Name shown to people.")
@_registration
@click.option(
    "--auth-method", "token_endpoint_auth_method", help="client_secret_basic (default), client_secret_post, private_key_jwt, none."
)
@click.option(
    "--jwks", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON file of its public keys (private_key_jwt)."
)
@click.option("--native", is_flag=True, help="A native application: loopback redirect URIs match on any port.")
@click.option("--no-pkce", is_flag=True, help="Only for a confidential client that cannot send PKCE.")
@click.option("--consent", is_flag=True, help="Ask each person before giving this application anything.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the secret.")
@command
def add(
    place: Place, /, client_id: str, *, native: bool, no_pkce: bool, consent: bool, jwks: Path | None, as_json: bool, **given: Any
) -> None:
    """Register the application CLIENT_ID and print its secret, once."""
    values = _given(given)
    if jwks is not None:
        values["jwks"] = _read_jwks(jwks)
    if native:
        values["application_type"] = "native"
    settings = _settings({"client_id": client_id, "require_pkce": not no_pkce, "require_consent": consent, **values})
    _refuse_wrong(place, settings)
    secret = registry.new_secret(place.clock) if settings.token_endpoint_auth_method.startswith("client_secret") else None
    with place.database.write() as tx:
        _refuse_unknown_establishments(tx, settings)
        present = tx.clients.get(client_id)
        if present is not None and present.ended_at is None:
            fail(f"there is a client {client_id} already")
        registry.put_client(
            tx, settings, place.author, secret_digest=digest(secret) if secret else None, source=registry.OPERATOR, clock=place.clock
        )
    if as_json:
        show_json({"client_id": client_id, "client_secret": secret, "issuer": place.config.issuer})
        return
    click.echo(f"{client_id} added")
    _show_secret(secret)


@client.command("change")
@click.argument("client_id")
@click.option("--name", help="Name shown to people.")
@_registration
@click.option("--empty", multiple=True, type=click.Choice(LISTS), help="Take everything out of a list, for instance roles; repeat.")
@click.option("--consent/--no-consent", default=None, help="Ask each person before giving this application anything.")
@command
def change(place: Place, /, client_id: str, *, empty: tuple[str, ...], consent: bool | None, **given: Any) -> None:
    """Change what is given of the application CLIENT_ID, and nothing else; a list is replaced whole. Its secret stays."""
    values = {**dict.fromkeys(empty, ()), **_given(given)}
    if "roles" in empty and not given["roles"]:
        values["roles"] = {}
    if consent is not None:
        values["require_consent"] = consent
    with place.database.write() as tx:
        found = tx.clients.get(client_id)
        if found is None or found.ended_at is not None:
            fail(f"no client {client_id}")
        registry.refuse_if_configured(found.source, client_id)
        settings = _settings({**found.settings.model_dump(), **values})
        _refuse_wrong(place, settings)
        _refuse_unknown_establishments(tx, settings)
        has_changed = registry.put_client(
            tx, settings, place.author, secret_digest=found.secret_digest, source=found.source, clock=place.clock
        )
    click.echo(f"{client_id} changed" if has_changed else f"{client_id} was so already")


@client.command("list")
@click.option("--all", "with_ended", is_flag=True, help="Withdrawn ones too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_clients(place: Place, *, with_ended: bool, as_json: bool) -> None:
    """List the applications."""
    with place.database.read() as tx:
        found = [item for item in tx.clients.all() if with_ended or item.ended_at is None]
    if as_json:
        show_json([_plain(item) for item in found])
        return
    show_table(
        ("client_id", "name", "auth method", "grants", "source", "withdrawn"),
        [
            (
                item.client_id,
                item.settings.name,
                item.settings.token_endpoint_auth_method,
                " ".join(item.settings.grant_types),
                item.source,
                item.ended_at.date() if item.ended_at else None,
            )
            for item in found
        ],
    )


@client.command("show")
@click.argument("client_id")
@command
def show(place: Place, client_id: str) -> None:
    """Print everything about the application CLIENT_ID, as JSON."""
    with place.database.read() as tx:
        found = tx.clients.get(client_id)
    if found is None:
        fail(f"no client {client_id}")
    show_json(_plain(found))


@client.command("rotate-secret")
@click.argument("client_id")
@command
def rotate_secret(place: Place, client_id: str) -> None:
    """Make a new secret for CLIENT_ID and print it, once; the old one stops at once."""
    with place.database.write() as tx:
        found = tx.clients.get(client_id)
        if found is None or found.ended_at is not None:
            fail(f"no client {client_id}")
        secret = registry.rotate_secret(tx, found, place.author, clock=place.clock)
    _show_secret(secret)


@client.command("end")
@click.argument("client_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def end(place: Place, client_id: str, *, yes: bool) -> None:
    """Withdraw the application CLIENT_ID: its tokens stop."""
    if not yes:
        click.confirm(f"Withdraw {client_id}? Everybody's access to it ends now.", abort=True)
    with place.database.write() as tx:
        found = tx.clients.get(client_id)
        if found is not None:
            registry.refuse_if_configured(found.source, client_id)
        ended = registry.end_client(tx, client_id, place.author, clock=place.clock)
    click.echo(f"{client_id} withdrawn: {ended.grants} grants ended")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """What the command line says of a registration; what it does not say is left out."""
    values = {name: value for name, value in options.items() if value}
    if "roles" in values:
        values["roles"] = _read_roles(values["roles"])
    return values


def _read_roles(words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        profile, equals, role = word.partition("=")
        if not equals:
            fail(f"roles: {word!r} is not PROFILE=ROLE, for instance nurse=transmissions (nurse= for a profile without a role)")
        found[profile] = (*found.get(profile, ()), *([role] if role else []))
    return found


def _settings(values: dict[str, Any]) -> ClientSettings:
    try:
        return ClientSettings(**values)
    except ValidationError as error:
        fail("\n".join(f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()))


def _read_jwks(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(f"{path} is not JSON: {error}")


def _refuse_wrong(place: Place, settings: ClientSettings) -> None:
    findings = [*check_client(settings), *check_roles(settings, place.config.profiles), *check_reach(settings, place.config)]
    for finding in findings:
        if finding.severity == "warning":
            click.secho(f"warning: {finding.path}: {finding.message}", fg="yellow", err=True)
    wrong = [f"{finding.path}: {finding.message}" for finding in findings if finding.severity == "error"]
    wrong += [f"profiles: {name} is not a profile of this deployment" for name in settings.profiles if name not in place.config.profiles]
    if wrong:
        fail("\n".join(wrong))


def _refuse_unknown_establishments(tx: Any, settings: ClientSettings) -> None:
    for slug in (*settings.establishments, *([settings.default_establishment] if settings.default_establishment else [])):
        found = tx.establishments.by_slug(slug)
        if found is None or found.ended_at is not None:
            fail(f"establishments: no establishment {slug}")


def _show_secret(secret: str | None) -> None:
    if secret is not None:
        click.echo("secret (shown this once, kept only as a digest):", err=True)
        click.echo(secret)


def _plain(item: Any) -> dict[str, Any]:
    settings = item.settings.model_dump(mode="json", exclude={"secret"})
    return {
        **settings,
        "has_secret": item.secret_digest is not None,
        "source": item.source,
        "revision": item.revision,
        "created_at": item.created_at.isoformat(),
        "ended_at": item.ended_at.isoformat() if item.ended_at else None,
    }
