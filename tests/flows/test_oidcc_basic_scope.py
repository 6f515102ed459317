"""oidcc-basic-certification-test-plan: what each scope releases, and the `establishment` scope of our own.

OpenID Connect Core 1.0 sections 3.1.2.1, 5.1, 5.3.2 and 5.4; RFC 6749 section 3.3.
"""

from typing import Any

import pytest

from tests.support.refusals import assert_refused_by_redirect, nothing_issued
from tests.support.relying_party import RelyingParty
from tests.support.world import World

PROFILE = {
    "name": "Claire Dubois",
    "given_name": "Claire",
    "family_name": "Dubois",
    "preferred_username": "claire.dubois",
    "locale": "fr-FR",
    "zoneinfo": "Europe/Paris",
}
EMAIL = {"email": "claire.dubois@tilleuls.example", "email_verified": True}
PHONE = {"phone_number": "+33600000042", "phone_number_verified": False}
ADDRESS = {"address": {"street_address": "3 rue des Écoles", "postal_code": "69000", "locality": "Lyon", "country": "France"}}


def userinfo(world: World, scope: str, person: str = "claire") -> dict[str, Any]:
    signed_in = world.sign_in(person, scope=scope)
    response = signed_in.party.userinfo(signed_in.tokens.access)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    assert found.pop("sub") == signed_in.tokens.claims["sub"]
    return found


def test_application_reads_the_profile_when_it_asks_scope_profile(world: World) -> None:
    """oidcc-scope-profile: the claims we have, updated_at as a number, none empty or null."""
    found = userinfo(world, "openid profile")
    assert isinstance(found.pop("updated_at"), int)
    assert found == PROFILE


def test_application_reads_the_address_book_when_it_asks_scope_email(world: World) -> None:
    """oidcc-scope-email."""
    assert userinfo(world, "openid email") == EMAIL


def test_application_reads_the_address_when_it_asks_scope_address(world: World) -> None:
    """oidcc-scope-address: a JSON object with the members of section 5.1.1."""
    assert userinfo(world, "openid address") == ADDRESS


def test_application_reads_the_phone_when_it_asks_scope_phone(world: World) -> None:
    """oidcc-scope-phone: E.164 and whether it was verified."""
    assert userinfo(world, "openid phone") == PHONE


def test_application_reads_everything_when_it_asks_all_scopes(world: World) -> None:
    """oidcc-scope-all; the answer also says which scopes were granted."""
    signed_in = world.sign_in("claire", scope="openid address email phone profile")
    found = signed_in.party.userinfo(signed_in.tokens.access).json()
    del found["updated_at"]
    assert found == PROFILE | EMAIL | PHONE | ADDRESS | {"sub": signed_in.tokens.claims["sub"]}
    assert set(signed_in.tokens.answer["scope"].split()) == {"openid", "address", "email", "phone", "profile"}


def test_order_does_not_matter_when_scopes_and_parameters_are_reversed(world: World) -> None:
    """oidcc-alternate-happy-flow (oidcc-ensure-other-scope-order-succeeds): RFC 6749 section 3.3."""
    browser, party = world.browser(), world.relying_party()
    base, _, query = party.begin(scope="email openid").partition("?")
    page = browser.get(f"{base}?{'&'.join(reversed(query.split('&')))}")
    page = browser.sign_in("claire.dubois", world.password, page=page)
    assert page.callback is not None
    tokens = party.exchange(page.callback)
    assert party.userinfo(tokens.access).json() == EMAIL | {"sub": tokens.claims["sub"]}


def test_claims_without_a_value_are_left_out_when_person_has_none(world: World) -> None:
    """OIDCC-5.3.2: a claim that is not returned is omitted, never null or empty."""
    found = userinfo(world, "openid email phone address", "rose")
    assert found == {}


def test_scope_claims_stay_out_of_the_id_token_when_userinfo_can_give_them(world: World) -> None:
    """OIDCC-5.4: with the code flow they are for userinfo."""
    claims = world.sign_in("claire", scope="openid profile email phone address").tokens.claims
    assert not claims.keys() & {*PROFILE, *EMAIL, *PHONE, *ADDRESS, "updated_at"}


def test_unknown_scopes_are_ignored_when_asked_with_known_ones(world: World) -> None:
    """OIDCC-3.1.2.1: scope values not understood should be ignored; the answer names those granted (RFC 6749 section 5.1)."""
    answer = world.sign_in("claire", scope="openid urn:autre:chose email").tokens.answer
    assert answer["scope"] == "openid email"


@pytest.mark.parametrize("scope", [None, "", "urn:autre:chose"])
def test_application_is_told_when_no_usable_scope_is_asked(world: World, carnet: RelyingParty, scope: str | None) -> None:
    """RFC 6749 section 3.3: invalid_scope, for we have no default."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(scope=scope))
    assert_refused_by_redirect(world, page, error="invalid_scope", reason="invalid_scope")


def test_application_is_told_when_it_asks_a_scope_it_is_not_registered_for(world: World) -> None:
    """RFC 6749 section 4.1.2.1: a scope we know and have not given to this client is refused, not silently dropped."""
    settings = world.registered["carnet"].settings.model_copy(update={"scopes": ("openid", "profile")})
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())
    with nothing_issued(world):
        page = world.browser().get(world.relying_party().begin(scope="openid email"))
    assert_refused_by_redirect(world, page, error="invalid_scope", reason="invalid_scope")


def test_request_is_plain_oauth_when_openid_is_not_asked(world: World) -> None:
    """OIDCC-3.1.2.1: without openid there is no ID token, and userinfo says insufficient_scope (RFC 6750 section 3.1)."""
    signed_in = world.sign_in("claire", scope="profile")
    assert "id_token" not in signed_in.tokens.answer
    response = signed_in.party.userinfo(signed_in.tokens.access)
    assert response.status_code == 403
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]
    assert world.last_event("userinfo.refused")["reason"] == "insufficient_scope"


TILLEULS = {"slug": "tilleuls", "name": "Les Tilleuls", "finess": "690012345", "siret": "12345678200010"}
GLYCINES = {"slug": "glycines", "name": "Les Glycines", "finess": "690054321", "siret": "98765432100021"}


def test_application_knows_where_the_nurse_works_when_it_asks_scope_establishment(world: World) -> None:
    """Our scopes: active establishment, sector and roles, and other homes by a scope of their own; in the ID token too, for they are needed first."""
    signed_in = world.sign_in("claire", scope="openid establishment establishments")
    wanted = {
        "establishment": TILLEULS,
        "sector": "Unité Alzheimer",
        "roles": ["nurse"],
        "attachments": [{"establishment": TILLEULS, "profile": "nurse", "roles": ["nurse"], "sector": "Unité Alzheimer"}],
    }
    claims = signed_in.tokens.claims
    assert {name: claims[name] for name in wanted} == wanted
    found = signed_in.party.userinfo(signed_in.tokens.access).json()
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(("slug", "roles", "sector"), [("tilleuls", ["nurse"], "Nuit"), ("glycines", ["manager"], None)])
def test_active_establishment_is_the_asked_one_when_nurse_works_at_two(
    world: World, slug: str, roles: list[str], sector: str | None
) -> None:
    """Our scopes: roles and sector are those of the active establishment; attachments list both."""
    claims = world.sign_in("amina", scope="openid establishment establishments", establishment=slug).tokens.claims
    assert claims["establishment"] == {"tilleuls": TILLEULS, "glycines": GLYCINES}[slug]
    assert (claims["roles"], claims.get("sector")) == (roles, sector)
    assert {entry["establishment"]["slug"] for entry in claims["attachments"]} == {"tilleuls", "glycines"}


def test_nothing_is_said_of_the_establishment_when_scope_is_not_asked(world: World) -> None:
    """House rule (R87): an application learns what it asked for and nothing else."""
    assert not userinfo(world, "openid").keys() & {"establishment", "sector", "roles", "attachments", "zone"}
