"""Office 365 through our door: who comes in, each forged answer refused and recorded with its own reason, and who is out within the bound."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Page
from tests.support.cast import OUTSIDE
from tests.support.entra import Entra
from tests.support.entra_door import NAME, account_of, arrive, bring, come_in, depart, open_door, provider_settings, sent_to
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT
from tests.support.entra_tokens import FOREIGN_TENANT, FORGERIES
from tests.support.world import World

NOTHING = Issued(0, 0, 0, 0)
BOUND = timedelta(minutes=5)
A_MOMENT = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)


@pytest.fixture
def home(make_world: MakeWorld, entra: Entra) -> World:
    """A world whose nurses come by Office 365; sessions that outlive the grace."""
    return open_door(entra, make_world(providers=[provider_settings(entra)], sessions={"idle": "12h"}))


def refused(world: World, page: Page, reason: str, *, before: Issued = NOTHING) -> dict[str, Any]:
    """The one Event of a refusal; nothing was issued."""
    line = world.last_event("upstream.refused")
    assert (line["reason"], line["connector"]) == (reason, NAME)
    assert page.callback is None
    assert issued(world) == before
    return line


# Who comes in


def test_nurse_comes_in_by_office_and_gets_an_account_where_a_rule_places_her(home: World, entra: Entra) -> None:
    here = come_in(home, entra, scope="openid profile email establishment")
    account = account_of(home, entra.person("nadia"))
    assert here.tokens.claims["sub"] == account.id
    assert here.party.userinfo(here.tokens.access).json()["name"] == "Nadia Petit"
    assert "amr" not in here.tokens.claims  # what was proven there is not known
    line = home.last_event("signin.succeeded")
    assert (line["connector"], line["zone_kind"] != "outside") == (NAME, True)
    assert home.last_event("upstream.arrived")["account_id"] == account.id


def test_nurse_keeps_her_account_when_her_name_and_addresses_change(home: World, entra: Entra) -> None:
    before = come_in(home, entra).tokens.claims["sub"]
    nadia = entra.person("nadia")
    nadia.upn, nadia.mail, nadia.surname = "nadia.leroy@tilleuls.example", "leroy@tilleuls.example", "Leroy"
    after = come_in(home, entra, scope="openid profile")
    assert after.tokens.claims["sub"] == before
    assert after.party.userinfo(after.tokens.access).json()["family_name"] == "Leroy"


def test_newcomer_with_the_address_of_somebody_who_left_is_somebody_else(home: World, entra: Entra) -> None:
    before = come_in(home, entra).tokens.claims["sub"]
    nadia, omar = entra.person("nadia"), entra.person("omar")
    omar.upn, omar.mail = nadia.upn, nadia.mail
    nadia.deleted = True
    nadia.upn = "gone@tilleuls.example"
    assert come_in(home, entra, "nadia.petit").tokens.claims["sub"] != before


def test_two_people_of_one_name_in_two_tenants_are_two(make_world: MakeWorld, entra: Entra) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra, tenants=[TENANT, OTHER_TENANT])]))
    nadia, paula = entra.person("nadia"), entra.person("paula")
    first = come_in(home, entra, "nadia").tokens.claims["sub"]
    nadia.upn, paula.upn = "nobody@tilleuls.example", nadia.upn
    paula.mail = nadia.mail
    assert come_in(home, entra, "nadia").tokens.claims["sub"] != first


def test_somebody_whom_no_rule_places_is_not_created(home: World, entra: Entra) -> None:
    omar = entra.person("omar")
    omar.groups = []
    browser = home.browser()
    page = arrive(browser, entra, depart(browser, home), "omar")
    refused(home, page, "nothing_grants")
    assert account_of(home, omar) is None
    assert "pas encore relié" in page.text  # who has an Account may prove it; who has none learns whom to ask
    assert "Seul le contact peut en ouvrir un" in page.text


def test_person_is_sent_with_what_the_application_hinted(home: World, entra: Entra) -> None:
    url = depart(home.browser(), home, login_hint="nadia.petit@tilleuls.example", prompt="login")
    assert "login_hint=nadia.petit%40tilleuls.example" in url
    assert "prompt=login" in url


def test_application_may_name_the_provider(home: World, entra: Entra) -> None:
    browser, party = home.browser(), home.relying_party()
    url = sent_to(browser.get(party.begin(kc_idp_hint=NAME)))
    assert url.startswith(entra.url)
    assert arrive(browser, entra, url).callback is not None


# Which answer is refused


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_token_is_refused_recorded_and_nothing_is_issued(home: World, entra: Entra, forgery: str) -> None:
    entra.forgery = forgery
    browser = home.browser()
    page = arrive(browser, entra, depart(browser, home))
    line = refused(home, page, f"upstream_{FORGERIES[forgery][1]}")
    assert line["details"]["purpose"] == "sign_in"
    assert account_of(home, entra.person("nadia")) is None
    assert not [event for event in home.events() if event["type"] in {"upstream.arrived", "signin.succeeded", "account.created"}]
    assert "signin-form" in page.forms  # and another way is open
    entra.forgery = None
    assert come_in(home, entra).tokens.claims["sub"]


def test_answer_of_another_browser_is_refused(home: World, entra: Entra) -> None:
    attacker, victim = home.browser(), home.browser()
    parameters = entra.sign_in(depart(attacker, home))
    page = bring(victim, entra, parameters)
    assert page.callback is None
    assert home.last_event("upstream.refused")["reason"] == "upstream_state"
    assert issued(home) == NOTHING
    assert bring(attacker, entra, parameters).callback is not None  # whose sign-in it was is not spoiled


def test_answer_is_refused_when_it_comes_twice(home: World, entra: Entra) -> None:
    browser = home.browser()
    parameters = entra.sign_in(depart(browser, home))
    assert bring(browser, entra, parameters).callback is not None
    before = issued(home)
    assert bring(browser, entra, parameters).callback is None
    assert home.last_event("upstream.refused")["reason"] == "upstream_state"
    assert issued(home) == before


def test_code_of_somebody_else_is_refused_in_ones_own_sign_in(home: World, entra: Entra) -> None:
    mine, theirs = home.browser(), home.browser()
    own = entra.sign_in(depart(mine, home), "omar")
    stolen = entra.sign_in(depart(theirs, home), "nadia")
    page = bring(mine, entra, {**own, "code": stolen["code"]})
    refused(home, page, "upstream_code_refused")  # PKCE


def test_person_of_another_tenant_is_refused(make_world: MakeWorld, entra: Entra) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra, tenants=[TENANT, OTHER_TENANT])]))
    entra.tenants.add(FOREIGN_TENANT)
    entra.person("omar").tenant = FOREIGN_TENANT
    browser = home.browser()
    refused(home, arrive(browser, entra, depart(browser, home), "omar"), "upstream_tenant")


def test_guest_is_refused(home: World, entra: Entra) -> None:
    browser = home.browser()
    refused(home, arrive(browser, entra, depart(browser, home), "invite"), "directory_out_of_scope")


def test_disabled_person_is_refused_with_a_code_that_was_made_before(home: World, entra: Entra) -> None:
    browser = home.browser()
    parameters = entra.sign_in(depart(browser, home))
    entra.person("nadia").enabled = False
    refused(home, bring(browser, entra, parameters), "directory_disabled")


def test_silent_session_there_is_refused_where_a_login_was_asked(home: World, entra: Entra) -> None:
    with entra.browser() as there:
        browser = home.browser()
        assert arrive(browser, entra, depart(browser, home), there=there).callback is not None
        before = issued(home)
        home.clock.advance(timedelta(minutes=5))
        url = depart(browser, home, prompt="login").replace("&prompt=login", "")  # by whoever sits at the browser
        page = arrive(browser, entra, url, there=there)
        refused(home, page, "upstream_too_old", before=before)


@pytest.mark.parametrize(("secrets_of", "trouble"), [({}, "service_account"), (None, "unavailable")])
def test_entra_that_refuses_us_or_is_down_is_recorded_as_such(home: World, entra: Entra, secrets_of: Any, trouble: str) -> None:
    browser = home.browser()
    parameters = entra.sign_in(depart(browser, home))
    if secrets_of is None:
        entra.fail("/oauth2/v2.0/token", 503)
    else:
        entra.registration.secrets = secrets_of
    line = refused(home, bring(browser, entra, parameters), "upstream_unreachable")
    assert line["details"]["trouble"] == trouble


# Two factors


def test_two_factors_are_asked_of_office_from_outside_and_not_on_the_premises(home: World, entra: Entra) -> None:
    come_in(home, entra)
    assert not any("otc" in form for _, _, form in entra.requests)
    browser, party = home.browser(address=OUTSIDE), home.relying_party()
    with entra.browser() as there:
        page = arrive(browser, entra, depart(browser, home, party), there=there)
        url = sent_to(page)  # straight back there: it is the only way
        assert "acrs" in url
        page = arrive(browser, entra, url, there=there)
    assert page.callback is not None
    claims = party.exchange(page.callback).claims
    assert (claims["acr"], claims["amr"]) == ("urn:vestibule:acr:mfa", ["mfa"])
    assert any("otc" in form for _, _, form in entra.requests)


def test_two_factors_that_were_not_given_are_refused(home: World, entra: Entra) -> None:
    entra.ignores_contexts = True  # as when somebody takes `claims` out of the address
    browser = home.browser(address=OUTSIDE)
    with entra.browser() as there:
        url = sent_to(arrive(browser, entra, depart(browser, home), there=there))
        page = arrive(browser, entra, url, there=there)
    refused(home, page, "upstream_assurance")


# Who is out


OUT = [
    ("enabled", False, "directory_disabled"),
    ("refresh_error", 50034, "directory_out_of_scope"),
]


@pytest.mark.parametrize(("what", "value", "reason"), OUT)
def test_leaver_is_out_within_the_bound(home: World, entra: Entra, what: str, value: Any, reason: str) -> None:
    here = come_in(home, entra, scope="openid offline_access")
    setattr(entra.person("nadia"), what, value)
    within = here.party.refresh(here.tokens.refresh)
    assert within.status_code == 200  # the word of a moment ago still stands
    home.clock.advance(BOUND + A_MOMENT)
    out = here.party.refresh(within.json()["refresh_token"])
    assert (out.status_code, out.json()["error"]) == (400, "invalid_grant")
    ended = home.last_event("account.suspended")
    assert (ended["reason"], ended["connector"]) == (reason, NAME)
    assert home.last_event("session.ended")["reason"] == reason
    assert home.last_event("grant.ended")["reason"] == reason
    assert here.browser.get(here.party.begin()).callback is None


def test_leaver_is_out_although_other_applications_ask_nothing(home: World, entra: Entra) -> None:
    here = come_in(home, entra)
    entra.person("nadia").enabled = False
    home.clock.advance(BOUND + A_MOMENT)
    page = here.browser.get(here.party.begin())  # a silent sign-in elsewhere is asked about, too
    assert page.callback is None
    assert home.last_event("account.suspended")["reason"] == "directory_disabled"


def test_who_is_let_in_again_is_back_at_the_next_sign_in(home: World, entra: Entra) -> None:
    here = come_in(home, entra)
    entra.person("nadia").enabled = False
    home.clock.advance(BOUND + A_MOMENT)
    here.browser.get(here.party.begin())
    entra.person("nadia").enabled = True
    assert come_in(home, entra).tokens.claims["sub"] == here.tokens.claims["sub"]


def test_lapsed_word_ends_the_sessions_and_suspends_nobody(home: World, entra: Entra) -> None:
    here = come_in(home, entra, scope="openid offline_access")
    entra.person("nadia").refresh_error = 50173  # a new password there
    home.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert not home.events("account.suspended")
    assert account_of(home, entra.person("nadia")).is_active
    assert here.browser.get(here.party.begin()).callback is None
    entra.person("nadia").refresh_error = None
    assert come_in(home, entra).tokens.claims["sub"] == here.tokens.claims["sub"]


def test_people_go_on_for_the_grace_while_entra_is_down(home: World, entra: Entra) -> None:
    here = come_in(home, entra, scope="openid offline_access")
    entra.fail("/oauth2/v2.0/token", 503, times=1000)
    home.clock.advance(BOUND + A_MOMENT)
    answer = here.party.refresh(here.tokens.refresh)
    assert answer.status_code == 200
    home.clock.advance(timedelta(hours=4, minutes=6))
    late = here.party.refresh(answer.json()["refresh_token"])
    assert (late.status_code, late.json()["error"]) == (503, "temporarily_unavailable")
    assert not home.events("account.suspended")
    entra.faults.clear()
    home.clock.advance(timedelta(minutes=1))
    assert here.party.refresh(answer.json()["refresh_token"]).status_code == 200


def test_who_loses_the_group_loses_what_stood_on_it(home: World, entra: Entra) -> None:
    here = come_in(home, entra, scope="openid offline_access")
    entra.person("nadia").groups = []
    home.clock.advance(BOUND + A_MOMENT)
    assert here.party.refresh(here.tokens.refresh).status_code == 400


def test_refresh_token_of_entra_is_nowhere_in_clear(home: World, entra: Entra) -> None:
    come_in(home, entra)
    held = b"".join(file.read_bytes() for file in home.folder.iterdir() if file.is_file())
    assert entra.refresh_tokens
    assert not [token for token in entra.refresh_tokens if token.encode() in held]
