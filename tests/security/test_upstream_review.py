"""What a review of the one sign-in found with providers: whom an immutable id may name, what nobody said the time of, who may put everybody out."""

import base64
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.base import Arrival, Lapsed, PersonNotUsable, SourceMisbehaved
from connectors.entra.provider import EntraProvider
from connectors.id_token import KEYS_LIFE, IdTokenValidator
from tests.conftest import MakeWorld
from tests.contracts.test_id_token import FIRST, SECOND, Provider
from tests.flows.refusal import Issued, issued
from tests.flows.test_shared_workstation import SALON, furnish_salon
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.entra import Entra
from tests.support.entra_door import LABEL, NAME, account_of, arrive, come_in, depart, open_door, provider_settings, sent_to
from tests.support.entra_journey import renew, sign_in
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT, Person
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener
from tests.support.neighbour import Neighbour, neighbouring
from tests.support.relying_party import RelyingParty
from tests.support.samba import Samba
from tests.support.stores import Stores
from tests.support.world import Furniture, World, furnish

NOTHING = Issued(0, 0, 0, 0)
DOMAIN = "domaine"
HOUR = timedelta(hours=1)
ALL: dict[str, Any] = {"name": "all", "effect": "allow"}


def asking(proof: Any) -> dict[str, Any]:
    """Rules that let everybody in, and ask a proof of them."""
    return {"rules": [ALL, {"name": "asked", "effect": "require", "require": [proof]}]}


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)


# Whom an immutable id may name


@pytest.fixture(scope="module")
def furniture(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener, stores: Stores) -> Furniture:
    """What the worlds of this module are copied from: made today, which a domain controller goes by."""
    return furnish(tmp_path_factory.mktemp("furniture-review"), FixedClock(datetime.now(UTC)), session_listener, stores=stores)


@pytest.fixture
def clock() -> FixedClock:
    """Now."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture
def joined(make_world: MakeWorld, entra: Entra, samba: Samba) -> World:
    """Two tenants may come; the domain is synchronised with the first."""
    office = provider_settings(entra, tenants=[TENANT, OTHER_TENANT], joins=DOMAIN, joined_tenants=[TENANT], mapping=[])
    return open_door(entra, make_world(directories=[samba.settings(name=DOMAIN)], providers=[office]))


def named(person: Person, samba: Samba, login: str = "a.claire") -> Person:
    """With the immutable id of somebody of the domain, as any administrator of a tenant may write it."""
    person.immutable_id = base64.b64encode(samba.raw(login, "objectGUID")[0]).decode()
    return person


def turned_away(world: World, entra: Entra, name: str, reason: str) -> None:
    browser = world.browser()
    page = arrive(browser, entra, depart(browser, world), name)
    assert page.callback is None, page
    assert world.last_event("upstream.refused")["reason"] == reason
    assert account_of(world, entra.person(name)) is None
    assert world.events("account.linked") == []
    assert issued(world) == NOTHING


def test_person_of_the_cloud_alone_is_nobody_of_the_directory_when_they_bear_its_id(joined: World, entra: Entra, samba: Samba) -> None:
    named(entra.person("omar"), samba).sid = samba.sid("a.claire")
    turned_away(joined, entra, "omar", "join_not_confirmed")


@pytest.mark.parametrize("sid", [None, "S-1-5-21-1-2-3-1105"])
def test_synchronised_person_is_not_joined_when_the_security_id_is_another(
    joined: World, entra: Entra, samba: Samba, sid: str | None
) -> None:
    omar = named(entra.person("omar"), samba)
    omar.is_synchronised, omar.sid = True, sid
    turned_away(joined, entra, "omar", "join_not_confirmed")


def test_person_of_a_tenant_that_is_not_synchronised_is_not_joined(joined: World, entra: Entra, samba: Samba) -> None:
    paula = named(entra.person("paula"), samba)
    paula.is_synchronised, paula.sid = True, samba.sid("a.claire")
    turned_away(joined, entra, "paula", "nothing_grants")


def test_person_whom_the_synchronisation_wrote_is_joined(joined: World, entra: Entra, samba: Samba) -> None:
    nadia = named(entra.person("nadia"), samba)
    nadia.is_synchronised, nadia.sid = True, samba.sid("a.claire")
    assert come_in(joined, entra).tokens.claims["sub"]
    assert joined.last_event("account.linked")["details"]["how"] == "immutable_id"


# When nobody says when the person was there


@pytest.fixture
def office(make_world: MakeWorld, entra: Entra) -> World:
    """Office 365 without the optional claim auth_time: asked to be fresh, its word is believed."""
    entra.registration.tells_auth_time = False
    settings = provider_settings(entra, auth_time_required=False)
    return open_door(entra, make_world(providers=[settings], sessions={"idle": "30m"}))


def typed(entra: Entra) -> int:
    """How often a password was typed there."""
    return sum(path.endswith("/login") for _, path, _ in entra.requests)


def claims_of(page: Page, party: RelyingParty) -> Any:
    assert page.callback is not None, page
    return party.exchange(page.callback).claims


def test_ordinary_sign_in_works_and_claims_no_time_when_the_provider_says_none(office: World, entra: Entra) -> None:
    here = come_in(office, entra, scope="openid offline_access")
    assert "auth_time" not in here.tokens.claims
    told = here.party.introspect(here.tokens.access).json()
    assert (told["active"], "auth_time" in told) == (True, False)
    assert here.party.refresh(here.tokens.refresh).status_code == 200
    assert here.browser.get(here.party.begin()).callback is not None  # a second application opens by itself


def test_nothing_fresh_stands_on_a_session_that_the_provider_still_had(office: World, entra: Entra) -> None:
    browser, party = office.browser(), office.relying_party()
    with entra.browser() as there:
        arrive(browser, entra, depart(browser, office, party), there=there)
        office.clock.advance(HOUR)  # ours has gone idle, theirs has not
        before = typed(entra)
        page = arrive(browser, entra, depart(browser, office, party), there=there)
        assert "auth_time" not in claims_of(page, party)
        assert typed(entra) == before
    page = browser.get("/account/links")
    assert "reconnecter" in page.text  # nobody links a sign-in of theirs to a browser that was left open


def test_provider_asks_the_person_when_an_application_wants_max_age(office: World, entra: Entra) -> None:
    browser, party = office.browser(), office.relying_party()
    with entra.browser() as there:
        arrive(browser, entra, depart(browser, office, party), there=there)
        before = typed(entra)
        url = depart(browser, office, party, max_age="3600")
        assert "prompt=login" in url
        claims = claims_of(arrive(browser, entra, url, there=there), party)
    assert typed(entra) == before + 1
    assert claims["auth_time"] == office.clock.timestamp()


def test_provider_asks_the_person_when_an_application_must_be_told_when(office: World, entra: Entra) -> None:
    browser, party = office.browser(), office.relying_party()
    with entra.browser() as there:
        arrive(browser, entra, depart(browser, office, party), there=there)
        silent = browser.get(party.begin(prompt="none", claims='{"id_token": {"auth_time": {"essential": true}}}'))
        assert silent.callback is not None
        assert silent.callback.parameters["error"] == "login_required"
        url = depart(browser, office, party, claims='{"id_token": {"auth_time": {"essential": true}}}')
        assert "prompt=login" in url
        claims = claims_of(arrive(browser, entra, url, there=there), party)
    assert claims["auth_time"] == office.clock.timestamp()


def test_provider_asks_the_person_when_a_rule_wants_a_fresh_sign_in(make_world: MakeWorld, entra: Entra) -> None:
    entra.registration.tells_auth_time = False
    settings = provider_settings(entra, auth_time_required=False, mfa_context=None)
    home = open_door(entra, make_world(providers=[settings], policy=asking({"proof": "fresh_sign_in", "within": "5m"})))
    browser, party = home.browser(), home.relying_party()
    with entra.browser() as there:
        url = depart(browser, home, party)
        assert "prompt=login" not in url
        page = arrive(browser, entra, url, there=there)
        assert page.callback is None  # nobody said that the person is there
        url = sent_to(browser.get(f"{page.url}/upstream/{NAME}"))
        assert "prompt=login" in url
        assert claims_of(arrive(browser, entra, url, there=there), party)["auth_time"] == home.clock.timestamp()
        home.clock.advance(timedelta(minutes=6))
        assert "prompt=login" in depart(browser, home, party)  # the Session is too old for the rule, and theirs does not answer for it


def test_second_factor_there_is_as_fresh_as_the_first_proof_of_the_same_sign_in(make_world: MakeWorld, entra: Entra) -> None:
    entra.registration.tells_auth_time = False
    home = open_door(entra, make_world(providers=[provider_settings(entra, auth_time_required=False)]))
    browser, party = home.browser(address=OUTSIDE), home.relying_party()
    with entra.browser() as there:
        page = arrive(browser, entra, depart(browser, home, party, max_age="60"), there=there)
        page = arrive(browser, entra, sent_to(page), there=there)
    claims = claims_of(page, party)
    assert (claims["amr"], claims["auth_time"]) == (["mfa"], home.clock.timestamp())


def test_second_factor_there_is_asked_of_the_person_on_a_shared_machine(make_world: MakeWorld, entra: Entra) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra)], policy=asking("second_factor")))
    furnish_salon(home)
    browser = home.browser(address=SALON)
    with entra.browser() as there:
        url = depart(browser, home)
        assert "prompt=login" in url
        url = sent_to(arrive(browser, entra, url, there=there))
        assert "acrs" in url
        assert "prompt=login" in url


def test_two_factors_of_some_time_ago_are_asked_of_the_person_again_when_a_rule_wants_them_now(make_world: MakeWorld, entra: Entra) -> None:
    rules = asking({"proof": "second_factor", "within": "10m"})
    home = open_door(entra, make_world(providers=[provider_settings(entra)], policy=rules))
    browser, party = home.browser(), home.relying_party()
    with entra.browser() as there:
        page = arrive(browser, entra, sent_to(arrive(browser, entra, depart(browser, home, party), there=there)), there=there)
        assert page.callback is not None
        home.clock.advance(timedelta(minutes=11))
        url = sent_to(browser.get(party.begin()))
        assert "acrs" in url
        assert "prompt=login" in url
        assert claims_of(arrive(browser, entra, url, there=there), party)["auth_time"] == home.clock.timestamp()


# Who may put everybody out


@pytest.fixture
def nadia(entra_provider: EntraProvider, entra: Entra) -> Arrival:
    return sign_in(entra_provider, entra)


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b"{}", b'{"error": {"code": "ResourceNotFound"}}', b'{"error": "x"}'])
def test_404_that_is_not_graphs_word_on_the_person_is_no_word(
    entra_provider: EntraProvider, entra: Entra, nadia: Arrival, body: bytes
) -> None:
    entra.fail("/v1.0/me", 404, body=body)
    with pytest.raises(SourceMisbehaved):
        renew(entra_provider, nadia)
    entra.person("nadia").deleted = True
    with pytest.raises(PersonNotUsable):
        renew(entra_provider, nadia)


@pytest.mark.parametrize("code", [50105, 50020, 50131])
def test_nobody_is_suspended_when_entra_lets_nobody_in(make_world: MakeWorld, entra: Entra, code: int) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra)], sessions={"idle": "12h"}))
    here = come_in(home, entra, scope="openid offline_access")
    entra.person("nadia").refresh_error = code
    home.clock.advance(timedelta(minutes=6))
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    account = account_of(home, entra.person("nadia"))
    assert account.is_active
    assert home.events("account.suspended") == []
    assert here.browser.get(here.party.begin()).callback is None  # what stood on it has ended


def test_refusal_of_everybody_is_lapsed(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    entra.person("nadia").refresh_error = 50105
    with pytest.raises(Lapsed, match="AADSTS50105"):
        renew(entra_provider, nadia)


# What a stranger may do with the way back


@pytest.fixture
def neighbour(make_world: MakeWorld) -> Iterator[Neighbour]:
    with neighbouring(make_world) as found:
        yield found


def test_strangers_answers_fill_the_trail_no_further_than_a_limit(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = make_world(providers=[neighbour.settings()])
    browser: Browser = home.browser()
    for number in range(70):
        page = browser.get(f"/upstream/voisin/callback?state=made-up-{number}&code=x")
        assert page.status == 400
    assert len(home.events("upstream.refused")) == 60
    home.clock.advance(timedelta(minutes=6))
    browser.get("/upstream/voisin/callback?state=made-up&code=x")
    assert len(home.events("upstream.refused")) == 61


def test_stranger_proves_who_they_are_by_a_provider_that_asks_them(make_world: MakeWorld, entra: Entra, neighbour: Neighbour) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra), neighbour.settings(creates_accounts=False, mapping=[])]))
    browser = neighbour.browser(home)
    page = browser.get(home.relying_party().begin())
    browser.get(f"{page.url}/upstream/voisin")
    neighbour.sign_in(browser)
    assert browser.page is not None
    assert "pas encore relié" in browser.page.text
    assert LABEL in browser.page.text
    assert "prompt=login" in sent_to(browser.get(f"{browser.page.url}/upstream/{NAME}"))
    assert PASSWORD not in browser.page.text


# A provider that is slow


def test_those_who_come_meanwhile_are_not_held_by_one_slow_reading_of_the_keys() -> None:
    provider = Provider()
    is_asked, may_answer = threading.Event(), threading.Event()
    is_slow = False

    def keys() -> dict[str, Any]:
        if is_slow:
            is_asked.set()
            assert may_answer.wait(20)
        return provider.keys()

    provider.validator = IdTokenValidator(keys, provider.clock)
    assert provider.validate(provider.sign(provider.claims()))
    is_slow = True
    provider.clock.advance(timedelta(minutes=2))
    unknown = threading.Thread(target=provider.problem, args=(provider.sign(provider.claims(), SECOND),))
    unknown.start()
    assert is_asked.wait(20)
    assert provider.validate(provider.sign(provider.claims()))  # by a key that is known
    provider.clock.advance(KEYS_LIFE - timedelta(minutes=2))
    assert provider.validate(provider.sign(provider.claims(), FIRST))  # just past its life, while another reads
    may_answer.set()
    unknown.join(20)
    assert not unknown.is_alive()
