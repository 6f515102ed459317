"""`vestibule policy`: which rules are in force, what they would say of one sign-in and why, and whether they keep their promises. Changes nothing.

Judging is policies/rules.py's, supposing idp.signin.what_if's; `policy replay` is in policy_replay.py.
"""

import json
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import yaml

from idp.cli.audit import read_instant
from idp.cli.output import plain, show_json
from idp.cli.place import Place, command, fail
from idp.cli.policy_replay import replay
from idp.cli.policy_words import access_line, missing_line, place_line, sentence
from idp.config import PolicySettings, check, load_draft
from idp.people import accounts
from idp.signin.step import StepKind
from idp.signin.what_if import Supposed, WhatIf, terms_of, what_if
from idp.store.base import Account, Workstation
from idp.store.database import Transaction
from policies.assurance import ACR_ORDER, PRIMARY, Method
from policies.decision import Verdict
from policies.rule_text import FACTOR_KINDS
from policies.rules import DEFAULT_RULES, Explanation, RuleLine, run_cases

FIRST_PROOFS = click.Choice(sorted(one.value for one in PRIMARY))
COLOURS = {Verdict.ALLOW: "green", Verdict.REQUIRE: "yellow", Verdict.DENY: "red"}
DRAFT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def policy() -> None:
    """Who gets in with which proofs: the rules, why they say what they say, and what a draft would change."""


policy.add_command(replay)


@policy.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def show(place: Place, *, as_json: bool) -> None:
    """Show the rules in force, as YAML: those of the configuration, or the default ones."""
    settings = place.config.policy
    # Copied through JSON: what two rules share would be shown as a YAML anchor.
    raw = json.loads(json.dumps(settings.rules if settings.rules is not None else DEFAULT_RULES))
    if as_json:
        show_json({"are_default": settings.rules is None, "rules": raw, "tests": list(settings.tests)})
        return
    whose = "the default rules (policy.rules is not set)" if settings.rules is None else f"policy.rules of {place.config_path}"
    click.echo(f"# {whose}; {len(settings.tests)} test case(s)")
    click.echo(_yaml({"rules": raw}), nl=False)


@policy.command("test")
@click.option("--rules", "file", type=DRAFT, help="A draft, with cases of its own or judged by those of the configuration.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def test(place: Place, *, file: Path | None, as_json: bool) -> None:
    """Judge the cases that stand beside the rules (policy.tests). Exit code 1 when one comes out otherwise than it must."""
    settings = _in_force(place) if file is None else load_draft(file)
    if file is not None and not settings.tests:
        settings = PolicySettings(rules=settings.rules, tests=_in_force(place).tests)
    results = run_cases(settings.rule_set, settings.cases)
    failed = {failure.name: failure.text for failure in results.failures}
    if as_json:
        show_json({"cases": results.count, "failures": [{"name": name, "text": text} for name, text in failed.items()]})
    else:
        for case in settings.cases:
            click.secho(
                plain(f"FAILED  {failed[case.name]}" if case.name in failed else f"ok      {case.name}"), fg=_pass_colour(case.name, failed)
            )
        click.echo(
            f"{results.count} case(s), {len(failed)} failed" if results.count else "there are no cases: write some into policy.tests"
        )
    if failed:
        raise SystemExit(1)


@policy.command("explain")
@click.option("--person", required=True, help="Id or identifier of the person.")
@click.option("--client", "client_id", help="The application. Default: the person's own account page.")
@click.option("--from", "address", required=True, help="The address that they come from.")
@click.option("--at", "when", help="2026-12-31T22:30, or 22:30 today, where the establishment is. Default: now.")
@click.option("--establishment", "slug", help="The establishment they sign in at, when there are several.")
@click.option("--acr", "acr", multiple=True, help=f"A level that the application wishes: {', '.join(ACR_ORDER)}; repeat.")
@click.option("--essential-acr", "essential_acr", multiple=True, help="The same, insisted on; repeat.")
@click.option(
    "--method",
    default="password",
    type=click.Choice(sorted(one.value for one in PRIMARY)),
    show_default=True,
    help="How they prove who they are.",
)
@click.option("--factors", help="Suppose these kinds enrolled (totp,passkey; none). Default: those that are.")
@click.option("--known-device", is_flag=True, help="Suppose a browser in which they have signed in before.")
@click.option(
    "--remembered-device", is_flag=True, help="Suppose one in which a second factor is remembered, where the establishment lets it."
)
@click.option("--workstation", help="Suppose this enrolled workstation, by name or id.")
@click.option("--rules", "file", type=DRAFT, help="Ask a draft instead of the rules in force.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def explain(place: Place, /, *, person: str, file: Path | None, as_json: bool, **given: Any) -> None:
    """Say what would come of a sign-in, and why: each rule with each criterion, and what would have changed it.

    The facts are gathered as for a real sign-in. The directory is taken to answer, and the password to be right. Nothing is written.
    """
    terms = terms_of(place.config, load_draft(file).rule_set if file else None)
    with place.database.read() as tx:
        account = accounts.named(tx, person)
        supposed = _supposed(place, tx, account, given)
        found = what_if(tx, supposed, terms)
        slug = found.establishment.slug if found.establishment else None
    if found.step.kind is StepKind.CHOOSE_ESTABLISHMENT:
        fail(plain(sentence(account.name, found)))
    if as_json:
        show_json(_as_json(account, supposed, found))
        return
    click.secho(plain(sentence(account.name, found)), bold=True)
    if given["slug"] and slug and slug != given["slug"]:
        click.secho(f"At {given['slug']} this person may not use the application; the sign-in would go on at {slug}.", fg="yellow")
    _show(found, supposed)


def _supposed(place: Place, tx: Transaction, account: Account, given: dict[str, Any]) -> Supposed:
    from ipaddress import ip_address

    try:
        address = str(ip_address(given["address"].strip()))
    except ValueError:
        fail(f"{given['address']!r} is not an address such as 10.1.2.3 or 2001:db8::7")
    establishment = tx.establishments.by_slug(given["slug"]) if given["slug"] else None
    if given["slug"] and establishment is None:
        fail(f"no establishment {given['slug']}")
    if given["client_id"] and tx.clients.get(given["client_id"]) is None:
        fail(f"no application {given['client_id']}")
    zone = ZoneInfo(establishment.time_zone if establishment else place.config.pages.time_zone)
    return Supposed(
        account_id=account.id,
        client_id=given["client_id"],
        address=address,
        at=_moment(place, given["when"], zone),
        establishment=given["slug"],
        acr=given["acr"],
        essential_acr=given["essential_acr"],
        method=Method(given["method"]),
        factors=_kinds(given["factors"]),
        is_device_known=given["known_device"],
        is_remembered=given["remembered_device"],
        workstation=_workstation(tx, given["workstation"]) if given["workstation"] else None,
    )


def _moment(place: Place, text: str | None, zone: ZoneInfo) -> datetime:
    now = place.clock.now()
    if text is None:
        return now
    try:
        return datetime.combine(now.astimezone(zone).date(), time.fromisoformat(text), tzinfo=zone).astimezone(now.tzinfo)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return read_instant(place, text)
    return moment.replace(tzinfo=moment.tzinfo or zone).astimezone(now.tzinfo)


def _kinds(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    kinds = frozenset(part.strip() for part in text.split(",") if part.strip()) - {"none"}
    if wrong := sorted(kinds - set(FACTOR_KINDS)):
        fail(f"{', '.join(wrong)}: not among {', '.join(FACTOR_KINDS)}, none")
    return kinds


def _workstation(tx: Transaction, text: str) -> Workstation:
    found = [one for one in tx.workstations.open() if text in {one.id, one.name}]
    if len(found) != 1:
        fail(
            f"{'several workstations are' if found else 'no workstation is'} called {text!r}; `vestibule workstation list` shows their ids"
        )
    return found[0]


def _in_force(place: Place) -> PolicySettings:
    """The rules of the configuration even where a case fails, which is what makes `load` refuse it."""
    config, findings = check(place.config_path)
    wrong = [finding for finding in findings if finding.severity == "error" and not finding.path.startswith("policy.tests[")]
    if config is None or wrong:
        fail("\n".join(map(str, wrong)))
    return config.policy


def _show(found: WhatIf, supposed: Supposed) -> None:
    place = found.establishment
    when = supposed.at.astimezone(ZoneInfo(place.time_zone)) if place else supposed.at
    _line("when", f"{when:%A %Y-%m-%d %H:%M %Z}")
    if place is not None:
        _line("place", plain(f"{place.slug} ({place.name}), regulatory level {place.regulatory_level}"))
    if found.ground is not None:
        where = found.ground.whereabouts
        _line("from", plain(f"{supposed.address}: {place_line(where.zone, where.kind, where.why)}"))
    _line("may use it", access_line(found))
    if found.explanation is None or found.judgement is None:
        _line("rules", "not asked: they are asked of people who may use the application")
        return
    _line("rules", found.explanation.summary)
    if missing := missing_line(found):
        _line("to prove", missing)
    assurance = found.judgement.assurance
    _line("as it stands", f"acr {assurance.acr}, amr {' '.join(assurance.amr) or 'none'}")
    _show_rules(found.explanation)


def _show_rules(explanation: Explanation) -> None:
    _title("Rules")
    for rule in explanation.rules:
        is_decisive = " *" if rule.name in explanation.decisive else ""
        click.secho(f"  {rule.text}{is_decisive}", fg=_colour(rule))
        for criterion in rule.criteria:
            for line in criterion.lines(2):
                click.echo(f"  {plain(line)}")
        if not rule.criteria:
            click.echo("      always")
    if explanation.decisive:
        click.secho("  * without it, the rules would have said something else", dim=True)
    _title("What would have changed it")
    for change in explanation.changes:
        click.echo(f"  {plain(change.text)}")
    if not explanation.changes:
        click.echo("  no single fact")


def _colour(rule: RuleLine) -> str | None:
    return COLOURS[rule.effect] if rule.fires and not rule.is_observed else None


def _pass_colour(name: str, failed: dict[str, str]) -> str:
    return "red" if name in failed else "green"


def _line(title: str, text: str) -> None:
    click.echo(f"{title:<14}{text}")


def _title(text: str) -> None:
    click.echo()
    click.secho(text, bold=True)


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _as_json(account: Account, supposed: Supposed, found: WhatIf) -> dict[str, Any]:
    ground, judgement = found.ground, found.judgement
    return {
        "sentence": sentence(account.name, found),
        "step": found.step.kind,
        "reason": found.step.reason,
        "is_optional": found.step.is_optional,
        "factors": [choice.kind for choice in found.step.factors],
        "may_add": sorted(found.step.kinds),
        "account": account.id,
        "establishment": found.establishment.slug if found.establishment else None,
        "level": found.establishment.regulatory_level if found.establishment else None,
        "at": supposed.at.isoformat(),
        "address": supposed.address,
        "zone": ground.whereabouts.zone if ground else None,
        "zone_kind": ground.whereabouts.kind if ground else None,
        "zone_why": ground.whereabouts.why if ground else None,
        "access": {"verdict": found.access.verdict, "reasons": list(found.access.reasons)},
        "missing": {"kind": found.missing.kind, "reason": found.missing.reason} if found.missing else None,
        "acr": judgement.assurance.acr if judgement else None,
        "amr": list(judgement.assurance.amr) if judgement else None,
        "explanation": found.explanation.as_json() if found.explanation else None,
    }
