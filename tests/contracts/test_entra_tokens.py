"""The Entra connector: which ID token is believed, which code, which answer of the browser."""

import json
from datetime import timedelta

import pytest

from connectors.base import (
    SourceMisbehaved,
    UpstreamRefused,
)
from connectors.entra.provider import EntraProvider
from tests.conftest import OpenEntra
from tests.support.entra import Entra
from tests.support.entra_journey import CALLBACK, STATE, come_back, depart, problem_of, sign_in
from tests.support.entra_people import TENANT
from tests.support.entra_tokens import FORGERIES
from tests.support.fixed_clock import FixedClock

MINUTE = timedelta(minutes=1)


# Which token is believed


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_token_is_refused_with_its_own_problem(entra_provider: EntraProvider, entra: Entra, forgery: str) -> None:
    entra.forgery = forgery
    assert problem_of(entra_provider, entra) == FORGERIES[forgery][1]
    assert entra.asked("/v1.0/me") == (1 if forgery == "somebody else's oid" else 0)  # the token is judged before anything is asked with it


@pytest.mark.parametrize("forgery", [name for name in FORGERIES if "nonce" not in name])
def test_forged_token_of_a_refresh_is_refused_too(entra_provider: EntraProvider, entra: Entra, forgery: str) -> None:
    arrival = sign_in(entra_provider, entra)
    entra.forgery = forgery
    with pytest.raises(SourceMisbehaved) as caught:
        entra_provider.renew(arrival.identity.subject, arrival.refresh_token or "")
    assert caught.value.problem == FORGERIES[forgery][1]


def test_stale_answer_is_refused_when_it_belongs_to_another_sign_in(entra_provider: EntraProvider, entra: Entra) -> None:
    first, second = depart(entra_provider), depart(entra_provider)
    parameters = entra.sign_in(first.url)
    for kept, given in ((second.kept, parameters), (first.kept, {**parameters, "state": "another"})):
        with pytest.raises(SourceMisbehaved) as caught:
            entra_provider.complete(given, callback_url=CALLBACK, kept=kept)
        # The first: the state is the same in this test, and PKCE says no.
        assert caught.value.problem == ("code_refused" if kept is second.kept else "state")
    with pytest.raises(SourceMisbehaved) as caught:
        entra_provider.complete(parameters, callback_url=f"{CALLBACK}/elsewhere", kept=first.kept)
    assert caught.value.problem == "state"


@pytest.mark.parametrize("fields", [{}, {"code": ""}, {"code": "rubbish"}, {"code": "' OR 1=1"}])
def test_code_is_refused_when_it_is_none(entra_provider: EntraProvider, entra: Entra, fields: dict[str, str]) -> None:
    departure = depart(entra_provider)
    with pytest.raises(SourceMisbehaved) as caught:
        come_back(entra_provider, departure, {"state": STATE, **fields})
    assert caught.value.problem == "code_refused"


def test_code_is_refused_when_it_comes_twice(entra_provider: EntraProvider, entra: Entra) -> None:
    departure = depart(entra_provider)
    parameters = entra.sign_in(departure.url)
    come_back(entra_provider, departure, parameters)
    with pytest.raises(SourceMisbehaved) as caught:
        come_back(entra_provider, departure, parameters)
    assert caught.value.problem == "code_refused"


def test_code_is_refused_when_it_is_too_old(entra_provider: EntraProvider, entra: Entra, clock: FixedClock) -> None:
    departure = depart(entra_provider)
    parameters = entra.sign_in(departure.url)
    clock.advance(11 * MINUTE)
    with pytest.raises(SourceMisbehaved) as caught:
        come_back(entra_provider, departure, parameters)
    assert caught.value.problem == "code_refused"


def test_rubbish_codes_do_not_make_entra_look_down(open_entra: OpenEntra, entra: Entra) -> None:
    provider = open_entra(failures=2)
    for _ in range(5):
        departure = depart(provider)
        with pytest.raises(SourceMisbehaved):
            come_back(provider, departure, {"state": STATE, "code": "rubbish"})
    assert sign_in(provider, entra).identity


def test_new_key_is_believed_when_entra_rotates(entra_provider: EntraProvider, entra: Entra, clock: FixedClock) -> None:
    sign_in(entra_provider, entra)
    asked = entra.asked("/keys")
    entra.rotate()  # the key that signs now was published before
    sign_in(entra_provider, entra)
    assert entra.asked("/keys") == asked
    entra.rotate()  # this one was not
    clock.advance(2 * MINUTE)
    sign_in(entra_provider, entra)
    assert entra.asked("/keys") == asked + 1
    withdrawn = entra.key("key-1")
    entra.keys.insert(0, withdrawn)
    published, entra.keys = entra.keys, entra.keys[1:]
    entra.forgery = "a key that nobody published"
    assert problem_of(entra_provider, entra) == "key_unknown"
    assert published


def test_metadata_of_another_issuer_is_refused(entra_provider: EntraProvider, entra: Entra) -> None:
    body = {"issuer": "https://login.evil.example/x/v2.0"}
    endpoints = dict.fromkeys(("authorization_endpoint", "token_endpoint", "jwks_uri"), f"{entra.url}/{TENANT}/x")
    entra.fail("openid-configuration", 200, body=json.dumps({**body, **endpoints}).encode())
    with pytest.raises(SourceMisbehaved) as caught:
        depart(entra_provider)
    assert caught.value.problem == "issuer"
    in_clear = {"issuer": f"{entra.url}/{TENANT}/v2.0", **endpoints, "token_endpoint": "http://localhost/token"}
    entra.fail("openid-configuration", 200, body=json.dumps(in_clear).encode())
    with pytest.raises(SourceMisbehaved, match="not https"):
        depart(entra_provider)


# What the browser brings


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", 65004), ("interaction_required", 50076), ("temporarily_unavailable", 90033), ("server_error", 90033)],
)
def test_refusal_of_entra_is_told_apart(entra_provider: EntraProvider, entra: Entra, error: str, code: int) -> None:
    departure = depart(entra_provider)
    entra.refuses_at_authorize = (error, code)
    with pytest.raises(UpstreamRefused) as caught:
        come_back(entra_provider, departure, entra.sign_in(departure.url))
    assert caught.value.error == error
    assert f"AADSTS{code}" in caught.value.detail


def test_words_of_the_browser_are_not_kept(entra_provider: EntraProvider, entra: Entra) -> None:
    departure = depart(entra_provider)
    given = {"state": STATE, "error": "<script>", "error_description": "AADSTS50105: évasion\nnouvelle ligne"}
    with pytest.raises(UpstreamRefused) as caught:
        come_back(entra_provider, departure, given)
    assert caught.value.error == "unknown_error"
    assert "\n" not in caught.value.detail
    assert "évasion" not in caught.value.detail
    assert "AADSTS50105" in caught.value.detail
