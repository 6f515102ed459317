"""Who tries to be somebody else by a name, an address or an id: each is another person, or nobody, and nothing of another's is had."""

import uuid
from datetime import timedelta

import pytest

from tests.conftest import MakeWorld
from tests.support.entra import Entra
from tests.support.entra_door import NAME, NURSES, come_in, open_door, provider_settings
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT
from tests.support.operator import Operator
from tests.support.slapd import PASSWORD, Slapd
from tests.support.world import SignedIn, World

BOUND = timedelta(minutes=6)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)


@pytest.fixture
def home(make_world: MakeWorld, slapd: Slapd) -> World:
    """People of a directory."""
    return make_world(directories=[slapd.settings()])


def by_directory(world: World, identifier: str = "d.claire", password: str = PASSWORD) -> SignedIn:
    browser, party = world.browser(), world.relying_party()
    page = browser.sign_in(identifier, password, page=browser.get(party.begin()))
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


# By a name or an address


def test_the_same_principal_name_in_two_tenants_is_two_people(make_world: MakeWorld, entra: Entra) -> None:
    entra.registration.of_several_tenants = True
    nadia, paula = entra.person("nadia"), entra.person("paula")
    paula.upn, paula.mail = nadia.upn, nadia.mail
    settings = provider_settings(
        entra, tenants=[TENANT, OTHER_TENANT], mapping=[{"group": NURSES, "establishment": "tilleuls", "profile": "nurse"}]
    )
    home = open_door(entra, make_world(providers=[settings]))
    first = come_in(home, entra, "nadia").tokens.claims["sub"]
    nadia.upn = "nadia.avant@tilleuls.example"  # so that the stand-in finds the other by the name
    second = come_in(home, entra, paula.upn).tokens.claims["sub"]
    assert first != second
    with home.database.read() as tx:
        assert {one.connector for one in tx.links.of_account(second)} == {NAME}


def test_a_newcomer_with_the_address_of_somebody_who_left_is_somebody_new(home: World, slapd: Slapd) -> None:
    """The address passes on with the person whom the directory gives it to; the Account, its attachments and its tokens do not."""
    before = by_directory(home)
    address = slapd.values("d.claire", "mail")[0]
    slapd.delete(slapd.dn("d.claire"))
    slapd.add_person("d.nouvelle", mail=address, departmentNumber="SI-12")
    after = by_directory(home, address)
    assert after.tokens.claims["sub"] != before.tokens.claims["sub"]
    assert after.tokens.claims["roles"] == ["it"]
    with home.database.read() as tx:
        old, new = tx.people.get(before.tokens.claims["sub"]), tx.people.get(after.tokens.claims["sub"])
    assert old is not None
    assert new is not None
    assert (old.status, old.email, new.email) == ("suspended", None, address)
    assert any(line["details"].get("given_up") for line in home.events("account.changed") if line["account_id"] == old.id)
    assert "signin-form" in before.browser.get("/account").forms


def test_a_newcomer_whom_a_sync_saw_first_has_the_name_at_their_first_sign_in(home: World, slapd: Slapd) -> None:
    before = by_directory(home).tokens.claims["sub"]
    address = slapd.values("d.claire", "mail")[0]
    slapd.delete(slapd.dn("d.claire"))
    slapd.add_person("d.nouvelle", mail=address, departmentNumber="SI-12")
    Operator(home.config_path, clock=home.clock).do("sync", "annuaire")
    after = by_directory(home, "d.nouvelle").tokens.claims["sub"]
    with home.database.read() as tx:
        (holder,) = tx.people.matching(address, None)
    assert holder.id == after != before


def test_an_address_of_somebody_who_is_there_is_left_to_them(home: World, slapd: Slapd) -> None:
    before = by_directory(home).tokens.claims["sub"]
    address = slapd.values("d.claire", "mail")[0]
    slapd.add_person("d.nouvelle", mail=address, departmentNumber="SI-12")
    by_directory(home, "d.nouvelle")
    with home.database.read() as tx:
        (holder,) = tx.people.matching(address, None)
    assert holder.id == before


# Unlinked


def test_whoever_was_unlinked_from_the_directory_comes_in_by_no_rule(home: World, slapd: Slapd) -> None:
    sub = by_directory(home).tokens.claims["sub"]
    operator = Operator(home.config_path, clock=home.clock)
    operator.do("account", "unlink", sub, "--connector", "annuaire", "--reason", "erreur de personne")
    browser = home.browser()
    page = browser.sign_in("d.claire", PASSWORD, page=browser.get(home.relying_party().begin()))
    assert page.status == 403
    assert home.last_event("signin.refused")["reason"] == "unlinked"
    operator.do("sync", "annuaire")
    with home.database.read() as tx:
        assert tx.links.of_account(sub) == ()
    subject = slapd.subject("d.claire")
    said = operator.refused("account", "link", sub, "--connector", "annuaire", "--subject", str(uuid.uuid4()), "--reason", "x")
    assert "has nobody" in said
    operator.do("account", "link", sub, "--connector", "annuaire", "--subject", subject, "--reason", "vérifié au guichet")
    assert by_directory(home).tokens.claims["sub"] == sub


# What a provider's no means


def test_a_provider_linked_by_a_proven_act_lets_go_of_what_came_by_it_and_no_more(make_world: MakeWorld, entra: Entra) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra, creates_accounts=False)]))
    nadia, claire = entra.person("nadia"), home.account("claire")
    operator = Operator(home.config_path, clock=home.clock)
    operator.do("account", "link", claire.id, "--connector", NAME, "--subject", nadia.subject, "--reason", "vue au guichet")
    by_office, by_password = come_in(home, entra, scope="openid offline_access"), home.sign_in("claire")
    assert by_office.tokens.claims["sub"] == claire.id
    nadia.refresh_error = 50057
    home.clock.advance(BOUND)
    assert by_office.party.refresh(by_office.tokens.refresh).status_code == 400
    assert "signin-form" in by_office.browser.get("/account").forms
    assert by_password.browser.get("/account").url.endswith("/account")
    assert home.account("claire").status == "active"
    assert home.events("account.suspended") == []
    assert home.last_event("session.ended")["reason"] == "directory_disabled"


def test_a_provider_that_alone_knows_somebody_suspends_them(make_world: MakeWorld, entra: Entra) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra)]))
    here = come_in(home, entra, scope="openid offline_access")
    entra.person("nadia").refresh_error = 50057
    home.clock.advance(BOUND)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert home.last_event("account.suspended")["connector"] == NAME
