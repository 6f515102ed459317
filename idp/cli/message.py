"""`vestibule message`: SMS and mail to people: a test that says step by step what happens, and what could not be sent.

The test goes straight to the gateway, past the queue and its limits; it is recorded with its author, and where to only as a hint.
"""

from datetime import datetime

import click

from connectors.base import CheckStep
from connectors.delivery import Gateway, Outgoing
from idp.audit import Event, EventType, Reason
from idp.cli.output import plain, show_json, show_table
from idp.cli.place import Place, command, fail
from idp.composition.outgoing import open_gateways
from idp.messages.address import is_served, mask_email, mask_phone, parse_phone
from idp.messages.texts import trial

MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("FAILED", "red")}


@click.group()
def message() -> None:
    """SMS and mail to people."""


@message.command("test")
@click.option("--sms", metavar="NUMBER", help="Send a test SMS to this number (+33612345678 or 06 12 34 56 78).")
@click.option("--email", metavar="ADDRESS", help="Send a test mail to this address.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def test(place: Place, sms: str | None, email: str | None, *, as_json: bool) -> None:
    """Send one message now, and say step by step what happens. An SMS costs what an SMS costs. Exit code 1 when it was not taken."""
    if (sms is None) == (email is None):
        fail("give one of --sms NUMBER and --email ADDRESS")
    channel = "sms" if sms is not None else "email"
    gateways = open_gateways(place.config, place.clock)
    try:
        if channel not in gateways:
            fail("`sms` is not set in the configuration" if channel == "sms" else "`mail` is not set in the configuration")
        steps, to = [], email or ""
        if sms is not None:
            to, first = _number(place, sms)
            steps.append(first)
        steps += _rehearse(place, gateways[channel], channel, to)
    finally:
        for gateway in gateways.values():
            gateway.close()
    if as_json:
        show_json([{"title": step.title, "outcome": step.outcome, "explanation": step.explanation} for step in steps])
    else:
        for step in steps:
            _show(step)
    is_taken = all(step.outcome != "failed" for step in steps)
    _record(place, channel, mask_phone(to) if channel == "sms" else mask_email(to), is_taken=is_taken)
    if not is_taken:
        click.get_current_context().exit(1)


@message.command("list")
@click.option("--failed", is_flag=True, help="Only those that were given up, or that have failed and wait.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def list_messages(place: Place, *, failed: bool, limit: int, as_json: bool) -> None:
    """List the newest messages: waiting, sent or abandoned, with what the gateway last answered; never what they say."""
    with place.database.read() as tx:
        found = tx.messages.recent(limit, is_failed=failed)
        waiting = sum(tx.messages.waiting(channel)[0] for channel in ("sms", "email"))
    rows = [
        {
            "id": item.id,
            "state": "sent" if item.sent_at else "abandoned" if item.abandoned_at else "waiting",
            "channel": item.channel,
            "purpose": item.purpose,
            "to": item.hint,
            "account": item.account_id,
            "written": _shown(item.created_at),
            "attempts": item.attempts,
            "next": _shown(item.next_attempt_at),
            "answer": item.receipt,
        }
        for item in found
    ]
    if as_json:
        show_json({"waiting": waiting, "messages": rows})
        return
    if rows:
        show_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    click.echo(f"{waiting} waiting")


def _number(place: Place, typed: str) -> tuple[str, CheckStep]:
    try:
        number = parse_phone(typed)
    except ValueError:
        fail("that is not a phone number")
    if is_served(number, place.config.sms.prefixes):
        return number, CheckStep(title="Number", outcome="ok", explanation=f"{mask_phone(number)}, which people may enrol")
    return number, CheckStep(title="Number", outcome="warning", explanation="people may not enrol such a number: see `sms.prefixes`")


def _rehearse(place: Place, gateway: Gateway, channel: str, to: str) -> list[CheckStep]:
    language = place.config.pages.default_language
    words = trial("sms" if channel == "sms" else "email", product=place.config.pages.product_name, language=language)
    outgoing = Outgoing(id=place.clock.new_id(), to=to, text=words.text, subject=words.subject, language=language, at=place.clock.now())
    return list(gateway.rehearse(outgoing))


def _record(place: Place, channel: str, hint: str, *, is_taken: bool) -> None:
    author = place.author
    event = Event(
        type=EventType.MESSAGE_TESTED,
        at=place.clock.now(),
        actor=author.actor,
        origin=author.origin,
        reason=None if is_taken else Reason.MESSAGE_NOT_TAKEN,
        details={"channel": channel, "to": hint, "taken": is_taken},
    )
    with place.database.write() as tx:
        tx.events.append(event)


def _show(step: CheckStep) -> None:
    word, colour = MARKS[step.outcome]
    click.echo(f"{click.style(f'{word:<8}', fg=colour)} {plain(step.title)}{': ' if step.explanation else ''}{plain(step.explanation)}")


def _shown(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
