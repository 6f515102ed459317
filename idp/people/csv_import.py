"""Importing a list of people: every line judged, every error with its line number, then all or the good ones written in one transaction.

`plan` reads and judges, and changes nothing; `carry_out` writes what a plan holds. A person on several lines is one Account with several
attachments. Nobody who is already there is changed unless the caller says that a line may attach them, and then only under the same name.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from idp.audit import Author, Event, EventType
from idp.clock import Clock
from idp.config import AttachmentSettings
from idp.errors import VestibuleError
from idp.people import accounts, passwords, values
from idp.people.attachments import NewAttachment, attach
from idp.people.attachments import check as check_attachment
from idp.people.spreadsheet import SheetRow
from idp.store.base import Account, Establishment
from idp.store.database import Transaction


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line; `column` is "" when it is the line as a whole."""

    line: int
    column: str
    message: str


@dataclass(slots=True)
class PlannedPerson:
    """One person of the file. `existing` is set when they are in the store already and only the attachments are new."""

    line: int
    new: accounts.NewAccount
    existing: Account | None = None
    attachments: list[NewAttachment] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """What an import would do."""

    people: list[PlannedPerson] = field(default_factory=list)
    errors: list[LineError] = field(default_factory=list)
    unchanged: int = 0
    lines: int = 0

    @property
    def wrong_lines(self) -> frozenset[int]:
        """Lines with at least one error."""
        return frozenset(error.line for error in self.errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRules:
    """What this deployment allows."""

    profiles: tuple[str, ...]
    attachment: AttachmentSettings
    attaches_existing: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What an import did; `accounts` are the new ones, in the order of the plan."""

    accounts: tuple[Account, ...]
    attachments: int


def plan(tx: Transaction, rows: Sequence[SheetRow], rules: ImportRules, *, advance: Callable[[], object] = lambda: None) -> Plan:
    """Judge every row; `advance` is called after each."""
    made = Plan(lines=len(rows))
    places = _places(tx)
    by_identifier: dict[tuple[str, str], PlannedPerson] = {}
    for row in rows:
        _plan_row(tx, row, rules, made=made, places=places, by_identifier=by_identifier)
        advance()
    # A person is written whole or not at all: one wrong line about them is enough.
    made.people = [person for person in made.people if not made.wrong_lines & set(person.lines)]
    made.errors.sort(key=lambda error: error.line)
    return made


def carry_out(
    tx: Transaction,
    made: Plan,
    author: Author,
    *,
    rules: ImportRules,
    clock: Clock,
    hashes: Mapping[int, str] | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Written:
    """Write a plan and its audit lines; `hashes` are one-time passwords, hashed, by the line of their person."""
    added: list[Account] = []
    attached = 0
    for person in made.people:
        account = person.existing
        if account is None:
            account = accounts.add(tx, person.new, author, clock=clock)
            added.append(account)
            if hashes and person.line in hashes:
                passwords.write(tx, account, hashes[person.line], author, must_change=True, clock=clock)
        for attachment in person.attachments:
            attach(tx, account, attachment, author, settings=rules.attachment, clock=clock)
            attached += 1
        advance()
    details: dict[str, str | int | bool | None] = {
        "lines": made.lines,
        "accounts": len(added),
        "attachments": attached,
        "wrong_lines": len(made.wrong_lines),
        "unchanged": made.unchanged,
    }
    tx.events.append(Event(type=EventType.ACCOUNTS_IMPORTED, at=clock.now(), actor=author.actor, origin=author.origin, details=details))
    return Written(tuple(added), attached)


def _plan_row(
    tx: Transaction,
    row: SheetRow,
    rules: ImportRules,
    *,
    made: Plan,
    places: Mapping[str, Establishment],
    by_identifier: dict[tuple[str, str], PlannedPerson],
) -> None:
    problems: list[LineError] = []
    if row.surplus:
        problems.append(LineError(row.line, "", f"{row.surplus} more cell(s) than columns: a separator inside a value? put it in quotes"))
    establishment = _establishment(row, places, problems)
    new = _account(row, establishment, problems)
    attachment = _attachment(row, establishment, rules, problems)
    if problems or new is None:
        made.errors.extend(problems)
        # Later lines about the same person must not make half of one: remember whose line was wrong.
        if new is not None and (known := _known(new, by_identifier)) is not None:
            known.lines.append(row.line)
        return
    person = _known(new, by_identifier)
    try:
        if person is None:
            person = _first_line(tx, row, new, rules)
            made.people.append(person)
            by_identifier.update({(value, scope): person for _, value, scope in new.found_by()})
        else:
            _refuse_another(person, new)
        person.lines.append(row.line)
        _add_attachment(tx, person, attachment, made)
    except VestibuleError as error:
        made.errors.append(LineError(row.line, error.reason if isinstance(error, values.ValueRefused) else "", error.detail))


def _first_line(tx: Transaction, row: SheetRow, new: accounts.NewAccount, rules: ImportRules) -> PlannedPerson:
    others = {account.id: account for _, account in accounts.taken(tx, new)}
    if not others:
        return PlannedPerson(row.line, new)
    other = next(iter(others.values()))
    if len(others) > 1 or not rules.attaches_existing:
        names = ", ".join(f"{account.name} ({account.id}, {account.status})" for account in others.values())
        raise accounts.AccountRefused("identifier_taken", f"already there: {names}")
    if not _is_same_name(new, other) or other.status == "ended":
        raise accounts.AccountRefused("identifier_taken", f"the identifier belongs to {other.name} ({other.id}, {other.status})")
    return PlannedPerson(row.line, new, existing=other)


def _refuse_another(person: PlannedPerson, new: accounts.NewAccount) -> None:
    if _name(person.new) != _name(new):
        raise accounts.AccountRefused("identifier_taken", f"the same identifier as line {person.line}, under another name")
    for what in ("username", "email", "phone_number"):
        if getattr(new, what) and getattr(new, what) != getattr(person.new, what):
            raise values.ValueRefused(what, f"differs from line {person.line}, which is about the same person")


def _add_attachment(tx: Transaction, person: PlannedPerson, attachment: NewAttachment | None, made: Plan) -> None:
    if attachment is None:
        if person.existing is not None:
            made.unchanged += 1
        return
    stored = tx.people.attachments(person.existing.id) if person.existing else ()
    if any(attachment.is_same(item) for item in stored):
        made.unchanged += 1
    elif attachment in person.attachments:
        raise values.ValueRefused("establishment", f"the same attachment as line {person.line}")
    else:
        person.attachments.append(attachment)


def _known(new: accounts.NewAccount, by_identifier: Mapping[tuple[str, str], PlannedPerson]) -> PlannedPerson | None:
    return next((by_identifier[key] for _, *pair in new.found_by() if (key := (pair[0], pair[1])) in by_identifier), None)


def _account(row: SheetRow, establishment: Establishment | None, problems: list[LineError]) -> accounts.NewAccount | None:
    """The account of a row, each cell judged by itself so that one pass finds every error."""
    cells = row.cells
    kept: dict[str, str] = {}
    parsers: Mapping[str, Callable[[str], str]] = {
        "username": values.username,
        "email": values.email,
        "staff_number": values.staff_number,
        "given_name": lambda text: values.person_name(text, "given_name"),
        "family_name": lambda text: values.person_name(text, "family_name"),
        "phone": values.phone_number,
        "locale": _locale,
    }
    before = len(problems)
    for column, parse in parsers.items():
        if column in cells:
            try:
                kept[column] = parse(cells[column])
            except values.ValueRefused as error:
                problems.append(LineError(row.line, column, error.detail))
    if not any(cells.get(column) for column in ("username", "email", "staff_number")):
        problems.append(LineError(row.line, "username", "at least one of username, email and staff_number is needed"))
    if "staff_number" in cells and "establishment" not in cells:
        problems.append(LineError(row.line, "staff_number", "a staff number needs its establishment"))
    if not (cells.get("given_name") and cells.get("family_name")):
        problems.append(LineError(row.line, "family_name", "an account is one person: given_name and family_name are needed"))
    if len(problems) > before or ("staff_number" in kept and establishment is None):
        return None
    return accounts.NewAccount(
        username=kept.get("username"),
        email=kept.get("email"),
        staff_number=kept.get("staff_number"),
        establishment=establishment,
        given_name=kept.get("given_name", ""),
        family_name=kept.get("family_name", ""),
        phone_number=kept.get("phone"),
        locale=kept.get("locale"),
    )


def _attachment(row: SheetRow, establishment: Establishment | None, rules: ImportRules, problems: list[LineError]) -> NewAttachment | None:
    cells = row.cells
    if "profile" not in cells:
        problems.extend(
            LineError(row.line, column, "has no meaning without a profile")
            for column in ("sector", "first_day", "last_day")
            if column in cells
        )
        return None
    if "establishment" not in cells:
        problems.append(LineError(row.line, "profile", "a profile needs its establishment"))
    days = {}
    for column in ("first_day", "last_day"):
        if column in cells:
            try:
                days[column] = values.day(cells[column], column)
            except values.ValueRefused as error:
                problems.append(LineError(row.line, column, error.detail))
    if establishment is None:
        return None
    profile = cells["profile"].lower().replace(" ", "_").replace("-", "_")
    new = NewAttachment(
        establishment=establishment,
        profile=profile,
        sector=cells.get("sector"),
        first_day=days.get("first_day"),
        last_day=days.get("last_day"),
    )
    try:
        new = check_attachment(new, profiles=rules.profiles)
        new.window(rules.attachment)
    except values.ValueRefused as error:
        problems.append(LineError(row.line, error.reason, error.detail))
        return None
    return new


def _establishment(row: SheetRow, places: Mapping[str, Establishment], problems: list[LineError]) -> Establishment | None:
    if "establishment" not in row.cells:
        return None
    found = places.get(_fold(row.cells["establishment"]))
    if found is None:
        slugs = ", ".join(sorted({place.slug for place in places.values()})) or "none yet"
        problems.append(LineError(row.line, "establishment", f"{row.cells['establishment']!r} is not one of: {slugs}"))
    return found


def _places(tx: Transaction) -> dict[str, Establishment]:
    """Establishments by slug, name, FINESS and SIRET; a name that two share names neither."""
    found: dict[str, Establishment] = {}
    shared: set[str] = set()
    for place in tx.establishments.all():
        for text in (place.slug, place.name, place.finess, place.siret):
            if text:
                key = _fold(text)
                if key in found and found[key].id != place.id:
                    shared.add(key)
                found[key] = place
    return {key: place for key, place in found.items() if key not in shared}


def _locale(text: str) -> str:
    known = {"fr": "fr", "français": "fr", "french": "fr", "en": "en", "anglais": "en", "english": "en"}
    if text.lower() not in known:
        raise values.ValueRefused("locale", f"{text!r}: fr or en")
    return known[text.lower()]


def _is_same_name(new: accounts.NewAccount, account: Account) -> bool:
    return _name(new) == (_fold(account.given_name), _fold(account.family_name))


def _name(new: accounts.NewAccount) -> tuple[str, str]:
    return _fold(new.given_name), _fold(new.family_name)


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(character for character in decomposed if not unicodedata.combining(character)).replace("-", " ").split())
