"""Establishments and clients: by command, and from the configuration file when the server starts."""

import json
from pathlib import Path

import pytest

from idp.audit import Author, Origin
from idp.clock import SystemClock
from idp.config import load
from idp.crypto import digest
from idp.registry import Applied, apply
from idp.store.database import Database
from tests.support.operator import ACTOR, Operator
from tests.support.pens import pens_of
from tests.support.world import World

REDIRECT = ("--redirect-uri", "https://app.example/callback")
AUTHOR = Author("operator:test", Origin("0123456789", "local"))


def apply_configuration(operator: Operator) -> Applied:
    config = load(operator.config_path)
    database = Database(config.database.url, synchronous="normal", busy_timeout_seconds=10, pool_size=2, pens=pens_of(config))
    try:
        return apply(database, config, AUTHOR, clock=SystemClock())
    finally:
        database.close()


def test_operator_registers_a_client_and_sees_its_secret_once(operator: Operator) -> None:
    added = operator.ask("client", "add", "notes", "--name", "Notes", *REDIRECT, "--json")
    secret = added["client_secret"]
    assert secret.startswith("vestibule_cs_")
    assert len(secret) == len("vestibule_cs_") + 43
    with operator.looking() as tx:
        stored = tx.clients.get("notes")
    assert stored is not None
    assert (stored.secret_digest, stored.source) == (digest(secret), "operator")
    assert secret not in operator.do("client", "show", "notes")
    assert secret not in str(operator.events())
    assert operator.last_event("client.changed")["actor"] == ACTOR


def test_operator_rotates_a_secret_and_the_old_one_is_forgotten(operator: Operator) -> None:
    old = operator.ask("client", "add", "notes", "--name", "Notes", *REDIRECT, "--json")["client_secret"]
    new = operator.do("client", "rotate-secret", "notes").strip()
    assert new != old
    with operator.looking() as tx:
        stored = tx.clients.get("notes")
    assert stored is not None
    assert (stored.secret_digest, stored.revision) == (digest(new), 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "at least one redirect URI"),
        (("--redirect-uri", "http://app.example/"), "must use https"),
        (("--redirect-uri", "https://app.example/*"), "no wildcard"),
        ((*REDIRECT, "--auth-method", "none", "--no-pkce"), "always sends PKCE"),
        ((*REDIRECT, "--auth-method", "private_key_jwt"), "public keys"),
        ((*REDIRECT, "--auth-method", "basic"), "token_endpoint_auth_method"),
        ((*REDIRECT, "--establishment", "nowhere"), "no establishment nowhere"),
        ((*REDIRECT, "--profile", "king"), "not a profile"),
    ],
)
def test_operator_is_refused_a_wrong_registration(operator: Operator, arguments: tuple[str, ...], says: str) -> None:
    assert says in operator.refused("client", "add", "notes", "--name", "Notes", *arguments)
    assert operator.ask("client", "list", "--json") == []


def test_operator_registers_a_public_client_without_a_secret(operator: Operator) -> None:
    added = operator.ask(
        "client", "add", "mobile", "--name", "M", "--auth-method", "none", "--native", "--redirect-uri", "http://127.0.0.1/cb", "--json"
    )
    assert added["client_secret"] is None
    assert "no_secret" not in operator.refused("client", "rotate-secret", "mobile")


def test_operator_withdraws_a_client_and_its_grants_end(world: World) -> None:
    world.sign_in("claire", "carnet")
    operator = Operator(world.config_path, clock=world.clock)
    client_id = world.registered["carnet"].settings.client_id
    assert "1 grants ended" in operator.do("client", "end", client_id, "--yes")
    assert world.last_event("grant.ended")["reason"] == "client_withdrawn"
    assert world.last_event("client.ended")["actor"] == ACTOR
    assert "withdrawn before" in operator.refused("client", "end", client_id, "--yes")


def test_operator_changes_only_what_is_given_of_an_establishment(operator: Operator) -> None:
    logo = operator.folder / "logo.svg"
    logo.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    operator.do("establishment", "change", "tilleuls", "--logo", str(logo), "--finess", "750000001")
    operator.do("establishment", "change", "tilleuls", "--name", "Les Grands Tilleuls")
    found = next(item for item in operator.ask("establishment", "list", "--json") if item["slug"] == "tilleuls")
    assert (found["name"], found["finess"], found["contact_phone"]) == ("Les Grands Tilleuls", "750000001", "01 02 03 04 05")
    with operator.looking() as tx:
        assert tx.establishments.logo("tilleuls") == (logo.read_bytes(), "image/svg+xml")
    assert operator.last_event("establishment.changed")["details"] == {"changed": "name"}


@pytest.mark.parametrize(
    "arguments", [("--siret", "12"), ("--time-zone", "Mars/Olympus"), ("--finess", "75")], ids=["siret", "time-zone", "finess"]
)
def test_operator_is_refused_a_wrong_establishment(operator: Operator, arguments: tuple[str, ...]) -> None:
    operator.refused("establishment", "add", "x", "--name", "X", *arguments)
    assert "was, an establishment" in operator.refused("establishment", "add", "tilleuls", "--name", "X")


def configured(operator: Operator, folder: Path) -> None:
    (folder / "secret").write_text("s" * 43)
    operator.configure(
        establishments=[{"slug": "lilas", "name": "Les Lilas"}],
        clients=[
            {
                "client_id": "carnet",
                "name": "Carnet",
                "secret": "file:secret",
                "redirect_uris": ["https://a.example/cb"],
                "default_max_age": "30m",
            }
        ],
    )


def test_server_applies_the_configuration_once_when_nothing_changes(operator: Operator) -> None:
    configured(operator, operator.folder)
    first = apply_configuration(operator)
    assert (first.is_new, first.changed, first.withdrawn) == (True, ["lilas", "carnet"], [])
    before = len(operator.events())
    assert apply_configuration(operator) == Applied()
    assert len(operator.events()) == before
    with operator.looking() as tx:
        stored = tx.clients.get("carnet")
        assert stored is not None
        assert (stored.secret_digest, stored.source) == (digest("s" * 43), "config")
        assert stored.settings.default_max_age is not None


def test_server_ends_what_the_configuration_no_longer_names_and_spares_what_operators_added(operator: Operator) -> None:
    configured(operator, operator.folder)
    apply_configuration(operator)
    operator.do("client", "add", "notes", "--name", "Notes", *REDIRECT)
    operator.configure()
    applied = apply_configuration(operator)
    assert applied.withdrawn == ["lilas", "carnet"]
    assert [item["client_id"] for item in operator.ask("client", "list", "--json")] == ["notes"]
    assert {item["slug"] for item in operator.ask("establishment", "list", "--json")} == {"tilleuls", "glycines"}
    configured(operator, operator.folder)
    apply_configuration(operator)
    assert {item["client_id"] for item in operator.ask("client", "list", "--json")} == {"carnet", "notes"}


def test_operator_is_refused_to_change_by_command_what_the_configuration_owns(operator: Operator) -> None:
    configured(operator, operator.folder)
    apply_configuration(operator)
    for arguments in (
        ("client", "rotate-secret", "carnet"),
        ("client", "end", "carnet", "--yes"),
        ("establishment", "change", "lilas", "--name", "X"),
    ):
        assert "configuration file" in operator.refused(*arguments)


def test_server_withdraws_an_establishment_and_ends_the_sessions_that_stand_on_it(world: World) -> None:
    with world.arranging() as tx:
        for place in tx.establishments.all():
            tx.establishments.change(place.id, {"source": "config"})
    world.sign_in("claire", "carnet")
    applied = apply(world.database, world.config, AUTHOR, clock=world.clock)
    assert applied.ended.sessions == 1
    assert world.last_event("session.ended")["reason"] == "attachment_lost"
    assert json.loads(Operator(world.config_path, clock=world.clock).do("establishment", "list", "--json")) == []
