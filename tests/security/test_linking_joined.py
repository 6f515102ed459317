"""Office 365 and a real Active Directory domain (Samba) know the same people: one account from the first time, and only if the domain says so.

The world stands at the real time, which a domain controller goes by.
"""

import base64
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Page
from tests.support.entra import Entra
from tests.support.entra_door import NAME, arrive, come_in, depart, open_door, provider_settings
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener
from tests.support.operator import Operator
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD
from tests.support.stores import Stores
from tests.support.world import Furniture, SignedIn, World, furnish

NOTHING = Issued(0, 0, 0, 0)
BOUND = timedelta(minutes=6)
DOMAIN = "domaine"


@pytest.fixture(scope="module")
def furniture(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener, stores: Stores) -> Furniture:
    """What the worlds of this module are copied from: made today."""
    return furnish(tmp_path_factory.mktemp("furniture-joined"), FixedClock(datetime.now(UTC)), session_listener, stores=stores)


@pytest.fixture
def clock() -> FixedClock:
    """Now."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)


@pytest.fixture
def home(make_world: MakeWorld, entra: Entra, samba: Samba) -> World:
    """People of a domain, whom Office 365 knows by its lasting ids."""
    nadia = entra.person("nadia")
    nadia.immutable_id, nadia.sid, nadia.is_synchronised = immutable_id(samba.subject("a.claire")), samba.sid("a.claire"), True
    return open_door(entra, make_world(directories=[samba.settings(name=DOMAIN)], providers=[provider_settings(entra, joins=DOMAIN)]))


def immutable_id(subject: str) -> str:
    """As Entra Connect writes it."""
    return base64.b64encode(uuid.UUID(subject).bytes_le).decode()


def by_directory(world: World, identifier: str = "a.claire", password: str = PASSWORD) -> SignedIn:
    browser, party = world.browser(), world.relying_party()
    page = browser.sign_in(identifier, password, page=browser.get(party.begin()))
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


def refused_by_office(world: World, entra: Entra, name: str = "nadia") -> Page:
    browser = world.browser()
    page = arrive(browser, entra, depart(browser, world), name)
    assert page.callback is None, page
    return page


def accounts(world: World) -> int:
    with world.database.read() as tx:
        return len(list(tx.people.all()))


# Joined by the domain's own id


@pytest.mark.parametrize("first", ["directory", "office"])
def test_the_directory_and_office_are_one_account_whichever_comes_first(home: World, entra: Entra, first: str) -> None:
    ways = [lambda: by_directory(home), lambda: come_in(home, entra)]
    found = {way().tokens.claims["sub"] for way in (ways if first == "directory" else reversed(ways))}
    assert len(found) == 1
    linked = {(line["connector"], line["details"]["how"]) for line in home.events("account.linked")}
    assert linked == {(DOMAIN, "directory"), (NAME, "immutable_id")}


def test_the_directory_says_what_the_joined_person_is_called(home: World, entra: Entra) -> None:
    come_in(home, entra)
    here = come_in(home, entra, scope="openid profile email")
    with home.database.read() as tx:
        account = tx.people.get(here.tokens.claims["sub"])
    assert account is not None
    assert account.username == "a.claire"


@pytest.mark.parametrize("forged", ["00000000-1111-2222-3333-444444444444", "not-base64!", ""])
def test_an_id_that_the_directory_does_not_have_joins_and_makes_nobody(home: World, entra: Entra, forged: str) -> None:
    raw = uuid.UUID(forged).bytes_le if forged.count("-") == 4 else b"too short"
    entra.person("nadia").immutable_id = base64.b64encode(raw).decode() if forged != "not-base64!" else forged
    before = accounts(home)
    page = refused_by_office(home, entra)
    assert any("link-decline" in form.button_ids for form in page.document.forms)  # a proven act still may
    assert home.last_event("account.link_refused")["reason"] == "join_not_confirmed"
    assert home.last_event("upstream.refused")["reason"] == "join_not_confirmed"
    assert accounts(home) == before
    assert issued(home) == NOTHING


def test_a_second_person_there_with_the_same_id_is_refused(home: World, entra: Entra) -> None:
    come_in(home, entra)
    nadia, omar = entra.person("nadia"), entra.person("omar")
    omar.immutable_id, omar.sid, omar.is_synchronised = nadia.immutable_id, nadia.sid, True
    before = issued(home)
    refused_by_office(home, entra, "omar")
    assert home.last_event("account.link_refused")["reason"] == "linked_already"
    assert home.last_event("upstream.refused")["reason"] == "linked_already"
    assert issued(home) == before


def test_a_tenant_that_is_not_allowed_joins_nobody(home: World, entra: Entra, samba: Samba) -> None:
    entra.registration.of_several_tenants = True
    entra.person("paula").immutable_id = immutable_id(samba.subject("a.claire"))
    browser = home.browser()
    url = depart(browser, home).replace(TENANT, OTHER_TENANT)
    page = arrive(browser, entra, url, "paula")
    assert page.callback is None
    assert home.events("account.linked") == []
    assert issued(home) == NOTHING


def test_nobody_is_joined_or_made_while_the_directory_is_away(home: World, entra: Entra, samba: Samba) -> None:
    before = accounts(home)
    samba.stop()
    refused_by_office(home, entra)
    assert home.last_event("upstream.refused")["reason"] == "directory_unreachable"
    assert accounts(home) == before
    samba.start()
    home.clock.advance(timedelta(minutes=2))
    assert come_in(home, entra).tokens.claims["sub"]


def test_whoever_the_directory_has_disabled_does_not_come_in_by_office(home: World, entra: Entra, samba: Samba) -> None:
    samba.disable("a.claire")
    refused_by_office(home, entra)
    assert home.last_event("upstream.refused")["reason"] == "directory_disabled"
    assert home.events("account.linked") == []


def test_the_directory_cuts_who_came_by_office(home: World, entra: Entra, samba: Samba) -> None:
    here = come_in(home, entra, scope="openid offline_access")
    samba.disable("a.claire")
    home.clock.advance(BOUND)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert "signin-form" in here.browser.get("/account").forms
    assert home.last_event("account.suspended")["reason"] == "directory_disabled"
    refused_by_office(home, entra)
    samba.enable("a.claire")
    # The directory lifts what it has cut, at the person's next sign-in with it.
    assert by_directory(home).tokens.claims["sub"] == here.tokens.claims["sub"]


def test_whoever_office_has_disabled_is_out_when_it_joined_by_the_lasting_id(home: World, entra: Entra) -> None:
    here = come_in(home, entra, scope="openid offline_access")
    entra.person("nadia").refresh_error = 50057
    home.clock.advance(BOUND)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert home.last_event("account.suspended")["connector"] == NAME


def test_office_does_not_lift_what_the_domain_has_said_since(home: World, entra: Entra, samba: Samba) -> None:
    """Office says no, then the domain does, then Office says yes again."""
    here = come_in(home, entra, scope="openid offline_access")
    entra.person("nadia").refresh_error = 50057
    home.clock.advance(BOUND)
    here.party.refresh(here.tokens.refresh)
    samba.disable("a.claire")
    browser = home.browser()
    browser.sign_in("a.claire", PASSWORD, page=browser.get(home.relying_party().begin()))
    entra.person("nadia").refresh_error = None
    page = refused_by_office(home, entra)
    assert page.callback is None
    with home.database.read() as tx:
        account = tx.people.get(here.tokens.claims["sub"])
    assert account is not None
    assert (account.status, account.cut_by) == ("suspended", DOMAIN)


# Recreated


def test_a_recreated_domain_user_of_the_same_name_is_somebody_new(make_world: MakeWorld, samba: Samba) -> None:
    home = make_world(directories=[samba.settings(name=DOMAIN)])
    before = by_directory(home, "a.claire")
    old = before.tokens.claims["sub"]
    operator = Operator(home.config_path, clock=home.clock)
    operator.do("account", "attach", old, "glycines", "--profile", "manager")
    dn = samba.dn("a.claire")
    samba.delete(dn)
    samba.add_person("a.claire")
    samba.join("tilleuls-infirmiers", samba.dn("a.claire"))
    after = by_directory(home, "a.claire")
    new = after.tokens.claims["sub"]
    assert new != old
    with home.database.read() as tx:
        assert {one.profile for one in tx.people.attachments(new)} == {"nurse"}
        assert [one.id for one in tx.people.matching("a.claire", None)] == [new]
        former = tx.people.get(old)
    assert former is not None
    assert (former.status, former.cut_by) == ("suspended", DOMAIN)
    assert "signin-form" in before.browser.get("/account").forms
    page = after.browser.get(after.party.begin(prompt="none", id_token_hint=before.tokens.identity))
    assert page.callback is not None
    assert page.callback.parameters["error"] == "login_required"
