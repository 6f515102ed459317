"""`vestibule mapping`: why the rules place a person of a directory or a provider where they do. Changes nothing; the rules are policies.mapping's.

`explain` asks a directory about somebody; `try` asks nobody, for a provider can only be asked when the person comes, and a rule is best tried first.
"""

import click

from connectors.base import Identity, SourceMisbehaved, SourceUnreachable
from idp.cli.directories import opened, trouble_of
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.scim.person import identity_of
from idp.scim.resource import folded
from idp.signin.linking import Linking, open_establishments
from idp.store.base import Account, Attachment
from idp.store.database import Transaction
from policies import mapping as policy
from policies.mapping import MappingRule, Placement, RuleTrace


@click.group()
def mapping() -> None:
    """From groups, roles and attributes to establishments and profiles."""


@mapping.command("explain")
@click.argument("person")
@click.option(
    "--directory", "name", help="Ask only this directory, or SCIM source. Default: all directories, in order, until one knows the person."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def explain(place: Place, person: str, *, name: str | None, as_json: bool) -> None:
    """Show what a directory says of PERSON (as typed to sign in), which rules match and why, and what that gives.

    Nothing is changed: `vestibule sync`, or the person's next sign-in, writes it.
    """
    identity = _find(place, person, name)
    rules = Linking(place.config, place.clock).rules(identity.connector)
    with place.database.read() as tx:
        known = open_establishments(tx)
        account, stored = _stored(tx, identity)
    mapped = policy.place(identity.groups, identity.attributes or {}, rules, known.homes)
    names = {id: slug for slug, id in known.ids.items()}
    if as_json:
        show_json(_as_json(identity, mapped, account, [_shown(one, names) for one in stored]))
        return
    _show_person(identity, account)
    _show_rules(identity.connector, rules, mapped)
    _title("Stored now")
    show_table(("establishment", "profile", "sector", "given by"), [_row(one, names) for one in stored])
    _show_difference(identity, account, mapped.placements, [_shown(one, names) for one in stored])


@mapping.command("try")
@click.option("--connector", "name", required=True, help="The directory, the provider or the SCIM source whose rules are tried.")
@click.option("--group", "groups", multiple=True, help="A group that the person would be in; repeat.")
@click.option("--role", "roles", multiple=True, help="An application role that the person would have (Entra ID); repeat.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="What would be said of the person; repeat.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def try_rules(
    place: Place, *, name: str, groups: tuple[str, ...], roles: tuple[str, ...], attributes: tuple[str, ...], as_json: bool
) -> None:
    """Show where somebody with these groups, roles and attributes would be placed, and why. Nobody is asked, nothing is changed."""
    _refuse_unknown(place, name)
    said = _said(roles, attributes)
    rules = Linking(place.config, place.clock).rules(name)
    with place.database.read() as tx:
        known = open_establishments(tx)
    mapped = policy.place(frozenset(groups), said, rules, known.homes)
    if as_json:
        show_json({"connector": name, **_mapped(mapped)})
        return
    _show_rules(name, rules, mapped)


def _refuse_unknown(place: Place, name: str) -> None:
    known = [one.name for one in (*place.config.directories, *place.config.providers, *place.config.scim)]
    if name not in known:
        fail(plain(f"no connector {name!r}; there is: {', '.join(known) or 'none in the configuration'}"))


def _said(roles: tuple[str, ...], attributes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    said: dict[str, tuple[str, ...]] = {policy.ROLES: roles} if roles else {}
    for word in attributes:
        key, equals, value = word.partition("=")
        if not equals or not key:
            fail(plain(f"{word!r} is not NAME=VALUE, for instance departmentNumber=SI-12"))
        said[key.lower()] = (*said.get(key.lower(), ()), value)
    return said


def _show_rules(connector: str, rules: tuple[MappingRule, ...], mapped: policy.Mapped) -> None:
    rows = [
        (line.index + 1, _asks(rule), "yes" if line.matched else "no", _why(line)) for line, rule in zip(mapped.trace, rules, strict=True)
    ]
    _title("Rules")
    if rows:
        show_table(("", "rule", "matches", "why"), rows)
    else:
        click.echo(f"{connector} has none (mapping:): nobody is placed by it")
    _title("This gives")
    show_table(("establishment", "profile", "sector"), [(one.establishment, one.profile, one.sector) for one in mapped.placements])
    if not mapped.placements:
        click.echo("nothing: without an attachment by an operator the person can sign in nowhere")


def _find(place: Place, person: str, name: str | None) -> Identity:
    """The person in the first directory that knows them; one that is away is passed over, and named."""
    if any(source.name == name for source in place.config.scim):
        return _find_written(place, person, name or "")
    found: Identity | None = None
    asked: list[str] = []
    away: list[str] = []
    with opened(place, name) as directories:
        for directory in directories:
            asked.append(directory.name)
            try:
                found = directory.look_up(person)
            except (SourceUnreachable, SourceMisbehaved) as error:
                away.append(plain(f"{directory.name} cannot be asked: {trouble_of(error)}"))
            if found is not None:
                break
    if found is None:
        fail("\n".join(away) or plain(f"{', '.join(asked)}: nobody is called {person!r} there, or several are"))
    for line in away:
        click.secho(line, fg="yellow", err=True)
    return found


def _find_written(place: Place, person: str, name: str) -> Identity:
    """The person as a source wrote them to us by SCIM, which cannot be asked."""
    with place.database.read() as tx:
        found = tx.scim.by_name(name, "User", folded(person))
        if found is None:
            fail(plain(f"{name} has written nobody with the login {person!r}"))
        return identity_of(name, found, tx.scim.groups_of([found.id])[found.id], found.changed_at)


def _stored(tx: Transaction, identity: Identity) -> tuple[Account | None, list[Attachment]]:
    link = tx.links.get(identity.connector, identity.subject)
    account = tx.people.get(link.account_id) if link else None
    return account, [one for one in tx.people.attachments(account.id) if one.ended_at is None] if account else []


def _show_person(identity: Identity, account: Account | None) -> None:
    full_name = f"{identity.given_name} {identity.family_name}".strip() or identity.username or identity.subject
    click.secho(plain(f"{full_name}, in the directory {identity.connector}"), bold=True)
    click.echo(plain(f"lasting id  {identity.subject}"))
    click.echo(f"state       {identity.state}")
    for number, group in enumerate(sorted(identity.groups)):
        click.echo(plain(f"{'groups' if number == 0 else '':<12}{group}"))
    if not identity.groups:
        click.echo("groups      none")
    for name, values in sorted((identity.attributes or {}).items()):
        click.echo(plain(f"{name:<11} {', '.join(values)}"))
    click.echo(f"account     {f'{account.id} ({account.status})' if account else 'none yet'}")


def _title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _asks(rule: MappingRule) -> str:
    asked = [f"group {rule.group}"] if rule.group is not None else []
    asked += [f"role {rule.role}"] if rule.role is not None else []
    asked += [f"{name}: {value}" for name, value in rule.attributes.items()]
    gives = " ".join(filter(None, (rule.establishment, rule.profile, rule.sector)))
    return f"{', '.join(asked)} -> {gives}"


def _why(line: RuleTrace) -> str:
    if line.because in {policy.ATTRIBUTE_ABSENT, policy.ATTRIBUTE_DIFFERS}:
        name, wanted, *values = line.data
        if line.because == policy.ATTRIBUTE_ABSENT:
            return f"no {name} is said (is it among the attributes that are read?)"
        return f"{name} is {', '.join(map(repr, values))} and not {wanted!r}"
    if line.because == policy.ESTABLISHMENT_UNKNOWN:
        return f"no establishment {', '.join(line.unknown)} here"
    if line.because == policy.ROLE_NOT_HELD:
        _, *values = line.data
        return f"the roles are {', '.join(map(repr, values))}" if values else "no role is said"
    said = {
        policy.GROUP_NOT_HELD: "not in the group",
        policy.GROUP_HELD: f"in {', '.join(line.data)}",
        policy.ROLE_HELD: f"has the role {', '.join(line.data)}",
        policy.ATTRIBUTES_HELD: f"{', '.join(line.data)} as asked",
    }[line.because]
    if line.unknown:
        said = f"{said}; no establishment {', '.join(line.unknown)} here"
    return f"{said}; no sector: no {', '.join(line.without)} is said" if line.without else said


def _row(attachment: Attachment, names: dict[str, str]) -> tuple[str, str, str | None, str]:
    slug = names.get(attachment.establishment_id, attachment.establishment_id)
    return slug, attachment.profile, attachment.sector, attachment.source


def _shown(attachment: Attachment, names: dict[str, str]) -> dict[str, str | None]:
    return dict(zip(("establishment", "profile", "sector", "source"), _row(attachment, names), strict=True))


def _show_difference(
    identity: Identity, account: Account | None, wanted: tuple[Placement, ...], stored: list[dict[str, str | None]]
) -> None:
    mine = {(one["establishment"], one["profile"], one["sector"]) for one in stored if one["source"] == identity.connector}
    if account is None:
        click.echo("nothing: the person never signed in, and was never imported")
    elif mine == {(one.establishment, one.profile, one.sector) for one in wanted}:
        click.echo("as the rules say")
    else:
        click.secho(f"not yet as the rules say: the next sign-in, or `vestibule sync {identity.connector}`, writes it", fg="yellow")


def _as_json(identity: Identity, mapped: policy.Mapped, account: Account | None, stored: list[dict[str, str | None]]) -> dict[str, object]:
    return {
        "directory": identity.connector,
        "subject": identity.subject,
        "state": str(identity.state),
        "groups": sorted(identity.groups),
        "attributes": {name: list(values) for name, values in (identity.attributes or {}).items()},
        **_mapped(mapped),
        "account": account.id if account else None,
        "stored": stored,
    }


def _mapped(mapped: policy.Mapped) -> dict[str, object]:
    return {
        "rules": [
            {
                "rule": line.index + 1,
                "matches": line.matched,
                "because": line.because,
                "data": list(line.data),
                "unknown_establishments": list(line.unknown),
                "sector_without": list(line.without),
                "gives": [_placement(one) for one in line.placements],
            }
            for line in mapped.trace
        ],
        "gives": [_placement(one) for one in mapped.placements],
    }


def _placement(one: Placement) -> dict[str, str | None]:
    return {"establishment": one.establishment, "profile": one.profile, "sector": one.sector}
