"""Operators and people: creating, passwords, attachments, cutting off; from the outside, through the command line."""

from datetime import UTC, datetime

import pytest

from tests.conftest import MakeWorld
from tests.support.operator import ACTOR, Operator
from tests.support.world import World

STRONG = "Colibri-orange-47-balcon"


def add(operator: Operator, username: str = "mdupont", *more: str) -> str:
    found = operator.ask("account", "add", "--username", username, "--given-name", "Marie", "--family-name", "Dupont", "--json", *more)
    return str(found["id"])


def test_operator_adds_an_account_with_everything_when_asked(operator: Operator) -> None:
    account_id = add(
        operator, "MDupont ", "--email", "Marie.Dupont@Example.FR", "--establishment", "tilleuls", "--staff-number", "00 42".replace(" ", ""),
        "--phone", "06 12 34 56 78", "--profile", "nurse", "--sector", "2e étage", "--last-day", "31/12/2026",
    )  # fmt: skip
    shown = operator.ask("account", "show", account_id)
    assert shown["username"] == "mdupont"
    assert shown["email"] == "marie.dupont@example.fr"
    assert shown["phone_number"] == "+33612345678"
    assert {item["value"] for item in shown["identifiers"]} == {"mdupont", "marie.dupont@example.fr", "0042"}
    (attachment,) = shown["attachments"]
    assert attachment["sector"] == "2e étage"
    # Noon of the next day, in Paris: midnight would cut the night shift.
    assert datetime.fromisoformat(attachment["valid_until"]) == datetime(2027, 1, 1, 11, 0, tzinfo=UTC)
    added = operator.last_event("account.added")
    assert (added["actor"], added["address"], added["account_id"]) == (ACTOR, "local", account_id)
    assert operator.last_event("attachment.added")["request_id"] == added["request_id"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "at least one of"),
        (("--username", "jean dupont"), "letters without accents"),
        (("--email", "jean@"), "not an e-mail"),
        (("--username", "a", "--phone", "12"), "not a phone number"),
        (("--username", "a", "--staff-number", "12"), "needs its establishment"),
        (("--username", "a", "--establishment", "nulle-part"), "no establishment nulle-part"),
        (("--username", "a", "--establishment", "tilleuls", "--profile", "infirmiere"), "not a profile"),
        (("--username", "a", "--profile", "nurse"), "both --establishment and --profile"),
        (("--username", "a", "--establishment", "tilleuls", "--profile", "nurse", "--first-day", "2026-02-30"), "not a day"),
        (
            (
                "--username",
                "a",
                "--establishment",
                "tilleuls",
                "--profile",
                "nurse",
                "--first-day",
                "2026-03-02",
                "--last-day",
                "2026-03-01",
            ),
            "before its first day",
        ),
    ],
)
def test_operator_is_told_what_is_wrong_and_nothing_is_added_when_a_value_is_wrong(
    operator: Operator, arguments: tuple[str, ...], says: str
) -> None:
    assert says in operator.refused("account", "add", *arguments)
    assert operator.ask("account", "list", "--json") == []


def test_operator_is_refused_when_an_identifier_is_taken_whatever_its_kind(operator: Operator) -> None:
    add(operator, "0042")
    message = operator.refused("account", "add", "--email", "x@y.fr", "--staff-number", "0042", "--establishment", "tilleuls")
    assert "already belongs to Marie Dupont" in message


def test_operator_may_use_the_same_staff_number_at_two_establishments(operator: Operator) -> None:
    operator.do("account", "add", "--staff-number", "12", "--establishment", "tilleuls", "--family-name", "Un")
    operator.do("account", "add", "--staff-number", "12", "--establishment", "glycines", "--family-name", "Deux")
    assert "several accounts" in operator.refused("account", "show", "12")


def test_operator_adds_demo_accounts_only_when_the_configuration_allows(operator: Operator) -> None:
    add(operator, "demo", "--demo")
    assert operator.ask("account", "show", "demo")["is_demo"] is True
    operator.configure(demo=False)
    assert "demo: true" in operator.refused("account", "add", "--username", "autre", "--demo")


@pytest.mark.usefixtures("real_hashes")
def test_operator_sets_a_one_time_password_that_is_shown_once_and_must_change(operator: Operator) -> None:
    account_id = add(operator)
    password = operator.do("account", "set-password", "mdupont", "--generate").strip()
    assert len(password) == 23
    with operator.looking() as tx:
        stored = tx.people.password(account_id)
    assert stored is not None
    assert stored.must_change is True
    assert stored.hash.startswith("$argon2id$v=19$m=19456")
    assert password not in str(operator.events())


def test_operator_sets_a_typed_password_from_standard_input_and_from_the_prompt(operator: Operator) -> None:
    account_id = add(operator)
    operator.do("account", "set-password", "mdupont", "--stdin", stdin=f"{STRONG}\n")
    other = "Fougere+bleue/83/velo"
    operator.do("account", "set-password", "mdupont", stdin=f"{other}\n{other}\n")
    with operator.looking() as tx:
        stored = tx.people.password(account_id)
    assert stored is not None
    assert len(stored.previous) == 1


@pytest.mark.parametrize(
    ("password", "code"), [("court", "too_short"), ("Dupont-tilleuls-2031!x", "contains_personal_word"), ("Azerty123456!", "blocked")]
)
def test_operator_is_refused_a_weak_password_and_it_is_recorded_without_it(operator: Operator, password: str, code: str) -> None:
    account_id = add(operator)
    assert code in operator.refused("account", "set-password", "mdupont", "--stdin", stdin=f"{password}\n")
    line = operator.last_event("password.change_refused")
    assert (line["reason"], line["account_id"], line["actor"]) == ("password_too_weak", account_id, ACTOR)
    assert password not in str(line)
    with operator.looking() as tx:
        assert tx.people.password(account_id) is None


def test_operator_is_refused_the_password_before(operator: Operator) -> None:
    add(operator)
    operator.do("account", "set-password", "mdupont", "--stdin", stdin=f"{STRONG}\n")
    operator.refused("account", "set-password", "mdupont", "--stdin", stdin=f"{STRONG}\n")
    assert operator.last_event("password.change_refused")["reason"] == "password_reused"


def test_operator_may_skip_the_change_only_for_demo_accounts(operator: Operator) -> None:
    add(operator)
    assert "demonstration" in operator.refused("account", "set-password", "mdupont", "--generate", "--no-must-change")
    account_id = add(operator, "demo", "--demo")
    operator.do("account", "set-password", "demo", "--generate", "--no-must-change")
    with operator.looking() as tx:
        stored = tx.people.password(account_id)
    assert stored is not None
    assert stored.must_change is False


def test_operator_reinstates_only_who_is_suspended_and_never_who_has_ended(operator: Operator) -> None:
    add(operator)
    assert "is active" in operator.refused("account", "reinstate", "mdupont")
    operator.do("account", "suspend", "mdupont")
    assert "suspended already" in operator.refused("account", "suspend", "mdupont")
    operator.do("account", "reinstate", "mdupont")
    operator.do("account", "end", "mdupont", "--yes")
    operator.refused("account", "reinstate", "mdupont")
    assert "already belongs" in operator.refused("account", "add", "--username", "mdupont")
    kinds = [line["type"] for line in operator.events("account.")]
    assert kinds == ["account.added", "account.suspended", "account.reinstated", "account.ended"]


def test_operator_is_asked_before_an_account_ends(operator: Operator) -> None:
    add(operator)
    assert operator.run("account", "end", "mdupont", stdin="n\n").exit_code == 1
    assert operator.ask("account", "show", "mdupont")["status"] == "active"


def test_operator_attaches_and_detaches(operator: Operator) -> None:
    add(operator)
    operator.do("account", "attach", "mdupont", "glycines", "--profile", "aide")
    assert "in the same way already" in operator.refused("account", "attach", "mdupont", "glycines", "--profile", "aide")
    operator.do("account", "detach", "mdupont", "glycines")
    assert "is not attached" in operator.refused("account", "detach", "mdupont", "glycines")
    assert [line["type"] for line in operator.events("attachment.")] == ["attachment.added", "attachment.ended"]


def test_operator_counts_the_days_of_an_attachment_in_the_establishments_time_zone(operator: Operator) -> None:
    operator.do("establishment", "add", "reunion", "--name", "Les Filaos", "--time-zone", "Indian/Reunion")
    add(operator, "ile", "--establishment", "reunion", "--profile", "aide", "--first-day", "2026-12-01", "--last-day", "2026-12-31")
    with operator.looking() as tx:
        (attachment,) = tx.people.attachments(tx.people.matching("ile", None)[0].id)
    assert attachment.valid_from == datetime(2026, 11, 30, 20, 0, tzinfo=UTC)
    assert attachment.valid_until == datetime(2027, 1, 1, 8, 0, tzinfo=UTC)


def test_operator_suspends_a_signed_in_nurse_and_everything_of_hers_ends(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    assert signed_in.tokens is not None
    operator = Operator(world.config_path, clock=world.clock)
    message = operator.do("account", "suspend", world.person("claire").username)
    assert "1 sessions and 1 grants ended" in message
    with world.database.read() as tx:
        assert tx.sessions.open_of(world.account("claire").id) == ()
    line = world.last_event("session.ended")
    assert (line["reason"], line["actor"]) == ("account_cut", ACTOR)
    assert world.last_event("account.suspended")["details"]["sessions"] == 1


def test_operator_detaches_a_signed_in_nurse_and_her_session_ends(world: World) -> None:
    world.sign_in("claire", "carnet")
    with world.database.read() as tx:
        (session,) = tx.sessions.open_of(world.account("claire").id)
        place = tx.establishments.get(session.establishment_id)
    assert place is not None
    Operator(world.config_path, clock=world.clock).do("account", "detach", world.person("claire").username, place.slug)
    assert world.last_event("session.ended")["reason"] == "attachment_lost"


def test_operator_unblocks_a_person_who_mistyped_too_often(make_world: MakeWorld) -> None:
    world = make_world(lockout={"free_tries": 3})
    person = world.person("claire")
    browser = world.browser()
    page = browser.get(world.relying_party("carnet").begin())
    for number in range(3):
        page = browser.sign_in(person.username, f"Mauvais-mot-de-passe-{number}", page=page)
    page = browser.sign_in(person.username, world.password, page=page)
    assert world.last_event("signin.refused")["reason"] == "throttled"
    Operator(world.config_path, clock=world.clock).do("account", "unblock", person.username)
    assert browser.sign_in(person.username, world.password, page=page).callback is not None
    assert world.last_event("account.unblocked")["actor"] == ACTOR


def test_operator_is_told_to_migrate_when_the_store_is_new(operator: Operator) -> None:
    operator.configure(database={"url": "sqlite:///other.db"})
    assert "vestibule migrate" in operator.refused("account", "list")


def test_operator_is_told_every_error_when_the_configuration_is_wrong(operator: Operator) -> None:
    operator.configure(issuer="https://x.fr/", sessions={"idel": "3m"})
    message = operator.refused("account", "list")
    assert "issuer" in message
    assert "sessions.idel: this setting does not exist; idle?" in message


@pytest.mark.parametrize("typed", ["lefev", "HUGO lef", "lefèvre hu", "hugo.lef"])
def test_operator_finds_somebody_as_the_console_does_however_it_is_typed(operator: Operator, typed: str) -> None:
    operator.ask("account", "add", "--username", "hugo.lefevre", "--given-name", "Hugo", "--family-name", "Lefèvre", "--json")
    assert [one["username"] for one in operator.ask("account", "list", typed, "--json")] == ["hugo.lefevre"]
