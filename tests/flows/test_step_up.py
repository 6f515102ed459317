"""Step-up: an application that asks more than a Session has proven gets it, or the right error. OpenID Connect Core 5.5.1.1, RFC 9470, RFC 8176."""

import json
from datetime import timedelta
from typing import Any

import pytest

from policies.assurance import ACR_MFA, ACR_ORDER, ACR_PASSWORD, ACR_PHISHING_RESISTANT
from tests.flows.refusal import issued
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.relying_party import RelyingParty
from tests.support.second_factors import Phone, enrol_phone
from tests.support.world import SignedIn, World


@pytest.fixture
def phone(world: World) -> Phone:
    """Claire's, enrolled at work."""
    return enrol_phone(world, world.application.signin.second_factors)


@pytest.fixture
def signed(world: World, phone: Phone) -> SignedIn:
    """Claire on the LAN, with her password."""
    return world.sign_in("claire")


def essential(*values: str) -> str:
    return json.dumps({"id_token": {"acr": {"essential": True, "values": list(values)}}})


def give_code(world: World, browser: Browser, page: Page, phone: Phone) -> Page:
    world.clock.advance(timedelta(seconds=30))
    return browser.submit("factor-form", page=page, code=phone.code(world.clock))


def exchanged(party: RelyingParty, page: Page) -> dict[str, Any]:
    assert page.callback is not None, page
    return party.exchange(page.callback).claims


def test_token_of_the_lan_and_one_of_outside_say_what_was_done(world: World, phone: Phone) -> None:
    inside = world.sign_in("claire")
    browser = world.browser(address=OUTSIDE)
    party = world.relying_party()
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get(party.begin()))
    page = give_code(world, browser, page, phone)
    assert page.callback is not None
    outside = party.exchange(page.callback)
    seen = []
    for each_party, tokens in ((inside.party, inside.tokens), (party, outside)):
        access = each_party.introspect(tokens.access).json()
        names = ("acr", "amr", "zone", "zone_kind", "zone_why")
        assert {name: access[name] for name in names} == {name: tokens.claims[name] for name in names}
        payload = each_party.decode(tokens.access, "ES256").claims
        assert {name: payload[name] for name in names} == {name: tokens.claims[name] for name in names}
        userinfo = each_party.userinfo(tokens.access).json()
        assert [userinfo[name] for name in ("zone", "zone_kind", "zone_why")] == [tokens.claims[name] for name in names[2:]]
        seen.append((tokens.claims["acr"], tokens.claims["amr"], tokens.claims["zone"]))
    assert seen == [
        (ACR_PASSWORD, ["pwd"], "tilleuls/lan"),
        (ACR_MFA, ["pwd", "otp", "mfa"], "outside"),
    ]


def test_application_without_the_establishment_scope_is_not_told_the_zone_in_the_id_token(world: World) -> None:
    claims = world.sign_in("claire", scope="openid").tokens.claims
    assert not {"zone", "zone_kind", "zone_why"} & claims.keys()


# A higher level


@pytest.mark.parametrize("parameters", [{"acr_values": ACR_MFA}, {"claims": essential(ACR_MFA)}])
def test_nurse_gives_a_code_when_the_application_wants_more_than_her_password(
    world: World, signed: SignedIn, phone: Phone, parameters: dict[str, str]
) -> None:
    party = world.relying_party("autre")
    page = signed.browser.get(party.begin(**parameters))
    assert "factor-form" in page.forms
    assert "signin-form" not in page.forms
    page = give_code(world, signed.browser, page, phone)
    claims = exchanged(party, page)
    assert (claims["acr"], claims["amr"]) == (ACR_MFA, ["pwd", "otp", "mfa"])
    assert claims["auth_time"] == signed.tokens.claims["auth_time"]
    assert claims["sid"] == signed.tokens.claims["sid"]


def test_first_application_keeps_its_level_until_it_asks_again(world: World, signed: SignedIn, phone: Phone) -> None:
    """What was given under the lower level says so for ever; the next authorization says what is proven by then."""
    page = signed.browser.get(world.relying_party("autre").begin(acr_values=ACR_MFA))
    give_code(world, signed.browser, page, phone)
    assert signed.party.introspect(signed.tokens.access).json()["acr"] == ACR_PASSWORD
    claims = exchanged(signed.party, signed.browser.get(signed.party.begin()))
    assert claims["acr"] == ACR_MFA


@pytest.mark.parametrize("parameters", [{"claims": essential(ACR_MFA)}, {"claims": essential("urn:autre", ACR_MFA)}])
def test_silent_request_is_told_to_interact_when_a_code_would_do(world: World, signed: SignedIn, parameters: dict[str, str]) -> None:
    before = issued(world)
    page = signed.browser.get(signed.party.begin(prompt="none", **parameters))
    assert page.callback is not None
    assert page.callback["error"] == "interaction_required"
    assert world.last_event("authorization.refused")["reason"] == "interaction_required"
    assert issued(world) == before


def test_silent_request_goes_without_a_wish_that_needs_a_page(world: World, signed: SignedIn) -> None:
    claims = exchanged(signed.party, signed.browser.get(signed.party.begin(prompt="none", acr_values=ACR_MFA)))
    assert claims["acr"] == ACR_PASSWORD


def test_silent_request_is_told_to_log_in_when_nobody_is_there(world: World) -> None:
    page = world.browser().get(world.relying_party().begin(prompt="none", claims=essential(ACR_MFA)))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"


def test_silent_request_is_told_to_log_in_when_the_proof_is_too_old(world: World, signed: SignedIn) -> None:
    world.clock.advance(timedelta(minutes=10))
    page = signed.browser.get(signed.party.begin(prompt="none", max_age="60"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"


def test_application_is_told_when_an_essential_level_is_none_of_ours(world: World, signed: SignedIn) -> None:
    before = issued(world)
    page = signed.browser.get(signed.party.begin(claims=essential("urn:autre")))
    assert page.callback is not None
    assert page.callback["error"] == "unmet_authentication_requirements"
    assert world.last_event("authorization.refused")["reason"] == "unmet_authentication_requirements"
    assert issued(world) == before


def test_application_is_told_when_an_essential_level_is_out_of_reach_of_this_person(world: World) -> None:
    """Karim has no factor, and is where none can be added: no page would help, so the client is answered (RFC 9470 section 5)."""
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("glycines").id, {"regulatory_level": "tolerant"})
        (lan,) = tx.zones.of(world.establishment("glycines").id)
        tx.zones.change(lan.id, {"kind": "shared_workstation"})
        tx.revisions.advance("zones")
    signed = world.sign_in("karim")
    before = issued(world)
    page = signed.browser.get(signed.party.begin(claims=essential(ACR_MFA)))
    assert page.callback is not None, page
    assert page.callback["error"] == "unmet_authentication_requirements"
    assert issued(world) == before


def test_nurse_may_go_on_without_what_the_application_only_wishes(world: World, signed: SignedIn) -> None:
    page = signed.browser.get(signed.party.begin(acr_values=ACR_MFA))
    page = signed.browser.press("factor-skip", page=page)
    claims = exchanged(signed.party, page)
    assert (claims["acr"], claims["amr"]) == (ACR_PASSWORD, ["pwd"])


def test_nurse_may_not_go_on_without_what_is_essential(world: World, signed: SignedIn) -> None:
    page = signed.browser.get(signed.party.begin(claims=essential(ACR_MFA)))
    assert "factor-skip" not in page.markup
    before = issued(world)
    action = (page.forms["factor-form"].action or "").replace("/factor", "/skip")
    page = signed.browser.post(action, {"csrf_token": page.forms["factor-form"].fields["csrf_token"]})
    assert "factor-form" in page.forms
    assert issued(world) == before


def test_nurse_without_a_factor_is_not_troubled_by_a_wish(world: World) -> None:
    assert world.sign_in("rose", acr_values=ACR_MFA).tokens.claims["acr"] == ACR_PASSWORD


def test_application_that_insists_on_a_lower_level_is_told_that_one(world: World, signed: SignedIn, phone: Phone) -> None:
    page = signed.browser.get(signed.party.begin(acr_values=ACR_MFA))
    give_code(world, signed.browser, page, phone)
    claims = exchanged(signed.party, signed.browser.get(signed.party.begin(claims=essential(ACR_PASSWORD))))
    assert claims["acr"] == ACR_PASSWORD
    assert claims["amr"] == ["pwd", "otp", "mfa"]


def test_code_is_given_first_when_a_passkey_must_be_added(world: World, signed: SignedIn, phone: Phone) -> None:
    page = signed.browser.get(signed.party.begin(claims=essential(ACR_PHISHING_RESISTANT)))
    assert "factor-form" in page.forms
    page = give_code(world, signed.browser, page, phone)
    assert "passkey-form" in page.forms
    assert 'data-passkey="create"' in page.markup


# How fresh


def test_both_proofs_are_asked_again_when_max_age_has_passed_outside(world: World, phone: Phone) -> None:
    party, browser = world.relying_party(), world.browser(address=OUTSIDE)
    page = browser.sign_in("claire.dubois", PASSWORD, page=browser.get(party.begin()))
    first = exchanged(party, give_code(world, browser, page, phone))
    world.clock.advance(timedelta(minutes=10))
    page = browser.get(party.begin(max_age="60"))
    assert "signin-form" in page.forms
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert "factor-form" in page.forms
    again = exchanged(party, give_code(world, browser, page, phone))
    assert again["auth_time"] > first["auth_time"]
    assert again["sid"] == first["sid"]


def test_max_age_is_met_by_the_password_alone_on_the_lan(world: World, signed: SignedIn) -> None:
    world.clock.advance(timedelta(minutes=10))
    page = signed.browser.get(signed.party.begin(max_age="60"))
    page = signed.browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert exchanged(signed.party, page)["amr"] == ["pwd"]


def test_old_factor_is_asked_again_when_a_rule_says_within(make_world: Any) -> None:
    world = make_world(
        policy={
            "rules": [
                {"name": "inside", "effect": "allow", "when": {"zone_kind": ["trusted"]}},
                {
                    "name": "fresh",
                    "effect": "require",
                    "require": [{"proof": "second_factor", "within": "1h"}],
                    "when": {"client": ["autre"]},
                },
            ]
        }
    )
    phone = enrol_phone(world, world.application.signin.second_factors)
    signed = world.sign_in("claire")
    party = world.relying_party("autre")
    for _ in range(2):
        page = signed.browser.get(party.begin())
        assert "factor-form" in page.forms
        exchanged(party, give_code(world, signed.browser, page, phone))
        assert signed.browser.get(party.begin()).callback is not None
        for _ in range(4):
            world.clock.advance(timedelta(minutes=20))
            signed.browser.get("/account")


def test_factor_that_was_reset_meanwhile_proves_nothing(world: World, signed: SignedIn, phone: Phone) -> None:
    page = signed.browser.get(world.relying_party("curieux").begin(claims=essential(ACR_MFA)))
    page = give_code(world, signed.browser, page, phone)
    assert "consent-form" in page.forms
    with world.arranging() as tx:
        for factor in tx.factors.open_of(world.account("claire").id):
            tx.factors.end(factor.id, world.clock.now())
    before = issued(world)
    page = signed.browser.submit("consent-form", page=page)
    assert page.callback is None or "code" not in page.callback.parameters
    assert issued(world) == before


def test_discovery_lists_every_level(world: World) -> None:
    assert world.relying_party().metadata["acr_values_supported"] == list(ACR_ORDER)
