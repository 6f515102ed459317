"""The Entra connector against the stand-in, with the real msal: who comes back, of which tenant, with which groups, and with which proof."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from connectors.base import (
    PersonNotUsable,
    SourceMisbehaved,
    SourceUnreachable,
    State,
)
from connectors.entra.provider import EntraProvider
from tests.conftest import OpenEntra
from tests.support.entra import Entra
from tests.support.entra_journey import STATE, come_back, depart, problem_of, sign_in
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT, Group
from tests.support.entra_tokens import FOREIGN_TENANT
from tests.support.fixed_clock import FixedClock

MINUTE = timedelta(minutes=1)


# Who comes back


def test_person_is_known_by_tenant_and_object_when_they_come_back(entra_provider: EntraProvider, entra: Entra, clock: FixedClock) -> None:
    entra.person("nadia").immutable_id = "qkZ0bXlHdWlkQWQ9PQ=="
    entra.person("nadia").is_synchronised = True
    arrival = sign_in(entra_provider, entra)
    identity = arrival.identity
    assert identity.subject == f"{TENANT}/11111111-2222-4333-8444-000000000001"
    assert (identity.connector, identity.username, identity.seen_at) == ("office", "nadia.petit@tilleuls.example", clock.now())
    assert (identity.given_name, identity.family_name, identity.email) == ("Nadia", "Petit", "nadia.petit@tilleuls.example")
    assert (identity.number, identity.phone_number) == ("E-1007", "+33 6 12 34 56 78")
    assert identity.amr == ()
    assert identity.attributes is not None
    assert identity.attributes["onpremisesimmutableid"] == ("qkZ0bXlHdWlkQWQ9PQ==",)
    assert identity.attributes["onpremisessyncenabled"] == ("true",)
    assert identity.attributes["roles"] == ("Tilleuls.IDE",)
    assert "tilleuls.ide" in identity.groups
    assert not arrival.is_multi_factor
    assert arrival.auth_time == clock.now()


def test_person_keeps_their_subject_when_name_and_address_change_and_capitals_do(entra_provider: EntraProvider, entra: Entra) -> None:
    before = sign_in(entra_provider, entra).identity
    nadia = entra.person("nadia")
    nadia.upn, nadia.mail, nadia.surname = "nadia.leroy@tilleuls.example", "leroy@tilleuls.example", "Leroy"
    entra.extra_claims = {"oid": nadia.oid.upper(), "tid": TENANT.upper()}
    after = sign_in(entra_provider, entra).identity
    assert after.subject == before.subject
    assert (after.username, after.family_name) == ("nadia.leroy@tilleuls.example", "Leroy")


def test_provider_sends_the_browser_with_pkce_form_post_and_hints(entra_provider: EntraProvider, entra: Entra) -> None:
    url = depart(entra_provider, login_hint="nadia.petit@tilleuls.example", domain_hint="tilleuls.example").url
    sign_in(entra_provider, entra)
    for part in ("code_challenge_method=S256", "response_mode=form_post", f"/{TENANT}/oauth2/v2.0/authorize", f"state={STATE}"):
        assert part in url
    assert "login_hint=nadia.petit%40tilleuls.example" in url
    assert "domain_hint=tilleuls.example" in url
    assert "prompt=" not in url
    assert "claims=" not in url
    (form,) = [form for method, path, form in entra.requests if path.endswith("/token")]
    assert form["code_verifier"] not in url


def test_secrets_are_in_no_representation_and_in_no_log(
    entra_provider: EntraProvider, entra: Entra, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        departure = depart(entra_provider)
        arrival = come_back(entra_provider, departure, entra.sign_in(departure.url))
        entra_provider.renew(arrival.identity.subject, arrival.refresh_token or "")
        entra.forgery = "another nonce"
        assert problem_of(entra_provider, entra) == "nonce"
    said = caplog.text + repr(departure) + repr(arrival)
    tokens = {*entra.refresh_tokens, *entra.codes, *entra.graph.tokens, SECRET, departure.kept["flow"]["code_verifier"]}
    assert not [token for token in tokens if token in said]
    assert "eyJ" not in said


# Tenants and guests


def test_people_of_two_tenants_come_in_and_of_a_third_do_not(open_entra: OpenEntra, entra: Entra) -> None:
    provider = open_entra(tenants=[TENANT, OTHER_TENANT])
    assert "/organizations/" in depart(provider).url
    assert sign_in(provider, entra, "nadia").identity.subject.startswith(TENANT)
    paula = sign_in(provider, entra, "paula")
    assert paula.identity.subject == f"{OTHER_TENANT}/22222222-2222-4333-8444-000000000001"
    assert provider.renew(paula.identity.subject, paula.refresh_token or "").identity.subject == paula.identity.subject
    entra.tenants.add(FOREIGN_TENANT)
    entra.person("omar").tenant = FOREIGN_TENANT
    assert problem_of(provider, entra, "omar") == "tenant"


def test_key_of_one_tenant_signs_for_no_other_when_both_are_allowed(open_entra: OpenEntra, entra: Entra) -> None:
    provider = open_entra(tenants=[TENANT, OTHER_TENANT])
    entra.forgery = "a key of another tenant"
    assert problem_of(provider, entra, "nadia") == "key_unknown"
    assert sign_in(provider, entra, "paula").identity.subject.startswith(OTHER_TENANT)


def test_key_that_does_not_say_whose_it_is_signs_for_one_tenant_only_where_there_is_one(open_entra: OpenEntra, entra: Entra) -> None:
    entra.keys = [entra.key("key-without-issuer", "")]
    assert sign_in(open_entra(), entra).identity
    assert problem_of(open_entra(tenants=[TENANT, OTHER_TENANT]), entra) == "key_unknown"


def test_two_people_of_one_name_in_two_tenants_are_two(open_entra: OpenEntra, entra: Entra) -> None:
    provider = open_entra(tenants=[TENANT, OTHER_TENANT])
    one = sign_in(provider, entra, "nadia").identity
    entra.person("nadia").upn = "x@tilleuls.example"
    entra.person("paula").upn = one.username or ""
    assert sign_in(provider, entra, "nadia").identity.subject != one.subject


def test_guest_is_refused_unless_guests_are_let_in(open_entra: OpenEntra, entra: Entra) -> None:
    with pytest.raises(PersonNotUsable) as caught:
        sign_in(open_entra(), entra, "invite")
    assert caught.value.state is State.OUT_OF_SCOPE
    assert caught.value.is_proven
    assert sign_in(open_entra(guests=True), entra, "invite").identity.family_name == "Invitée"


@pytest.mark.parametrize("claims", [{"idp": "live.com"}, {"acct": 1}, {"idp": f"https://sts.windows.net/{OTHER_TENANT}/"}])
def test_guest_is_refused_by_each_claim_that_says_so(entra_provider: EntraProvider, entra: Entra, claims: dict[str, Any]) -> None:
    entra.extra_claims = claims
    with pytest.raises(PersonNotUsable):
        sign_in(entra_provider, entra)


def test_member_is_no_guest_when_idp_names_their_own_tenant(entra_provider: EntraProvider, entra: Entra) -> None:
    entra.extra_claims = {"idp": f"https://sts.windows.net/{TENANT}/", "acct": 0}
    assert sign_in(entra_provider, entra).identity


def test_guest_is_refused_by_graph_when_the_token_does_not_say_it(entra_provider: EntraProvider, entra: Entra) -> None:
    entra.extra_claims = {"idp": None}
    with pytest.raises(PersonNotUsable):
        sign_in(entra_provider, entra, "invite")


def test_disabled_person_is_refused_when_graph_says_so(entra_provider: EntraProvider, entra: Entra) -> None:
    departure = depart(entra_provider)
    parameters = entra.sign_in(departure.url)
    entra.person("nadia").enabled = False
    with pytest.raises(PersonNotUsable) as caught:
        come_back(entra_provider, departure, parameters)
    assert caught.value.state is State.DISABLED


# Groups and roles


def test_groups_come_from_the_token_by_id(entra_provider: EntraProvider, entra: Entra) -> None:
    groups = sign_in(entra_provider, entra, "omar").identity.groups
    assert groups == {"9a1d0000-0000-4000-8000-000000000001"}
    assert entra.asked("transitiveMemberOf") == 0


def test_groups_come_from_graph_page_by_page_when_there_are_too_many(entra_provider: EntraProvider, entra: Entra) -> None:
    nadia = entra.person("nadia")
    many = [Group(f"9a1d0000-0000-4000-8000-{number:012d}", f"groupe-{number}", is_synchronised=True) for number in range(100, 350)]
    nadia.groups = [*nadia.groups, *many]
    groups = sign_in(entra_provider, entra).identity.groups
    assert {group.id for group in many} <= groups
    assert {"groupe-100", "groupe-349", "tilleuls-ide", "soignants", "tilleuls.ide"} <= groups
    assert entra.asked("transitiveMemberOf") == 3
    assert entra.asked("graph.microsoft.com") == 0  # the address in the claim is not believed


def test_implicit_overage_is_read_too(entra_provider: EntraProvider, entra: Entra) -> None:
    entra.extra_claims = {"hasgroups": True}
    assert "tilleuls-ide" in sign_in(entra_provider, entra, "omar").identity.groups


def test_name_of_a_cloud_group_counts_only_when_the_settings_say_so(open_entra: OpenEntra, entra: Entra) -> None:
    # Anybody may create a group called tilleuls-medecin in a tenant whose settings nobody changed.
    groups = sign_in(open_entra(groups="graph"), entra).identity.groups
    assert "tilleuls-medecin" not in groups
    assert {"tilleuls-ide", "soignants", "9a1d0000-0000-4000-8000-000000000002"} <= groups
    assert "helpdesk administrator" not in groups
    assert "tilleuls-medecin" in sign_in(open_entra(groups="graph", group_names="all"), entra).identity.groups


def test_token_goes_nowhere_else_when_the_next_page_is_on_another_host(open_entra: OpenEntra, entra: Entra) -> None:
    entra.graph.page_size = 1
    entra.graph.next_link_host = "https://graph.evil.example"
    with pytest.raises(SourceMisbehaved, match="another host"):
        sign_in(open_entra(groups="graph"), entra)


def test_pages_without_end_are_refused(open_entra: OpenEntra, entra: Entra) -> None:
    entra.graph.page_size = 1
    entra.person("nadia").groups = [Group(f"id-{number}", "x") for number in range(25)]
    with pytest.raises(SourceMisbehaved, match="more than"):
        sign_in(open_entra(groups="graph"), entra)


def test_further_properties_are_read_for_rules(open_entra: OpenEntra, entra: Entra) -> None:
    attributes = sign_in(open_entra(attributes=["department", "jobTitle"]), entra).identity.attributes
    assert attributes is not None
    assert attributes["department"] == ("Soins",)
    assert "jobtitle" not in attributes


def test_missing_permission_is_said_and_nobody_comes_in_without_their_groups(open_entra: OpenEntra, entra: Entra) -> None:
    provider = open_entra(groups="graph")
    entra.fail("transitiveMemberOf", 403)
    with pytest.raises(SourceUnreachable, match=r"GroupMember\.Read\.All") as caught:
        sign_in(provider, entra)
    assert caught.value.trouble == "service_account"


def test_overage_claims_are_read_only_when_they_speak_of_groups(entra_provider: EntraProvider, entra: Entra) -> None:
    entra.extra_claims = {"_claim_names": {"other": "src1"}}
    sign_in(entra_provider, entra)
    assert entra.asked("transitiveMemberOf") == 0


# Two factors and freshness


def test_two_factors_are_asked_by_the_context_and_read_from_acrs(entra_provider: EntraProvider, entra: Entra) -> None:
    arrival = sign_in(entra_provider, entra, wants_mfa=True)
    assert arrival.is_multi_factor
    assert arrival.acr == "c1"


def test_two_factors_are_refused_when_the_answer_does_not_hold_them(entra_provider: EntraProvider, entra: Entra) -> None:
    entra.ignores_contexts = True
    assert problem_of(entra_provider, entra, wants_mfa=True) == "assurance"
    entra.extra_claims = {"acrs": ["c2"], "amr": ["mfa"], "acr": "c1"}
    assert problem_of(entra_provider, entra, wants_mfa=True) == "assurance"
    arrival = sign_in(entra_provider, entra)
    assert not arrival.is_multi_factor


def test_acrs_counts_also_when_nobody_asked_and_as_one_text(entra_provider: EntraProvider, entra: Entra) -> None:
    entra.extra_claims = {"acrs": "c1"}
    assert sign_in(entra_provider, entra).is_multi_factor


def test_acrs_means_nothing_when_no_context_is_set(open_entra: OpenEntra, entra: Entra) -> None:
    entra.extra_claims = {"acrs": ["c1"]}
    assert not sign_in(open_entra(mfa_context=None), entra).is_multi_factor


def test_silent_session_is_not_a_fresh_sign_in(entra_provider: EntraProvider, entra: Entra, clock: FixedClock) -> None:
    with entra.browser() as browser:
        first = depart(entra_provider)
        come_back(entra_provider, first, entra.sign_in(first.url, browser=browser))
        clock.advance(5 * MINUTE)
        silent = depart(entra_provider)
        arrival = come_back(entra_provider, silent, entra.sign_in(silent.url, browser=browser))
        assert arrival.auth_time == clock.now() - 5 * MINUTE
        forced = depart(entra_provider, forces_prompt=True)
        assert "prompt=login" in forced.url
        stripped = forced.url.replace("&prompt=login", "")  # by whoever sits at the browser
        with pytest.raises(SourceMisbehaved) as caught:
            come_back(entra_provider, forced, entra.sign_in(stripped, browser=browser))
        assert caught.value.problem == "too_old"
        again = depart(entra_provider, forces_prompt=True)
        assert come_back(entra_provider, again, entra.sign_in(again.url, browser=browser)).auth_time == clock.now()


def test_max_age_is_asked_and_checked(entra_provider: EntraProvider, entra: Entra, clock: FixedClock) -> None:
    with entra.browser() as browser:
        first = depart(entra_provider)
        come_back(entra_provider, first, entra.sign_in(first.url, browser=browser))
        clock.advance(20 * MINUTE)
        young = depart(entra_provider, max_age=30 * MINUTE)
        come_back(entra_provider, young, entra.sign_in(young.url, browser=browser))
        old = depart(entra_provider, max_age=10 * MINUTE)
        assert "max_age=600" in old.url
        with pytest.raises(SourceMisbehaved) as caught:
            come_back(entra_provider, old, entra.sign_in(old.url.replace("&max_age=600", ""), browser=browser))
        assert caught.value.problem == "too_old"


def test_freshness_needs_auth_time_unless_the_settings_do_without(open_entra: OpenEntra, entra: Entra) -> None:
    entra.registration.tells_auth_time = False
    assert problem_of(open_entra(), entra, forces_prompt=True) == "too_old"
    assert sign_in(open_entra(), entra).auth_time is None
    assert sign_in(open_entra(auth_time_required=False), entra, forces_prompt=True).identity
