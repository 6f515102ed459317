"""The Entra connector with a refresh token: who they are now, who is out, and what says nothing of them."""

from datetime import timedelta

import pytest

from connectors.base import (
    Arrival,
    Lapsed,
    PersonNotUsable,
    SourceMisbehaved,
    SourceUnreachable,
    State,
)
from connectors.entra.provider import EntraProvider
from tests.conftest import OpenEntra
from tests.support.entra import Entra
from tests.support.entra_journey import depart, renew, sign_in
from tests.support.fixed_clock import FixedClock


def test_renewal_tells_who_they_are_now(entra_provider: EntraProvider, entra: Entra, nadia: Arrival, clock: FixedClock) -> None:
    clock.advance(timedelta(hours=2))
    entra.person("nadia").groups = []
    entra.person("nadia").nested = []
    entra.person("nadia").surname = "Leroy"
    renewal = renew(entra_provider, nadia)
    assert renewal.identity.family_name == "Leroy"
    assert renewal.identity.groups == {"tilleuls.ide"}
    assert renewal.identity.seen_at == clock.now()
    assert renewal.refresh_token not in {None, nadia.refresh_token}


def test_disabled_person_is_told_at_the_refresh(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    entra.person("nadia").enabled = False
    with pytest.raises(PersonNotUsable) as caught:
        renew(entra_provider, nadia)
    assert (caught.value.state, caught.value.subject) == (State.DISABLED, nadia.identity.subject)
    entra.person("nadia").enabled = True  # msal would go on refusing for a minute
    assert renew(entra_provider, nadia).identity


@pytest.mark.parametrize("code", [50034, 500341])
def test_gone_person_is_told_at_the_refresh(entra_provider: EntraProvider, entra: Entra, nadia: Arrival, code: int) -> None:
    entra.person("nadia").refresh_error = code
    with pytest.raises(PersonNotUsable) as caught:
        renew(entra_provider, nadia)
    assert caught.value.state is State.OUT_OF_SCOPE


@pytest.mark.parametrize("code", [700082, 50173, 50076, 50078, 65001, 70008, 53003, 50020, 50105, 50131])
def test_lapsed_refresh_says_nothing_of_the_person(entra_provider: EntraProvider, entra: Entra, nadia: Arrival, code: int) -> None:
    entra.person("nadia").refresh_error = code
    with pytest.raises(Lapsed, match=f"AADSTS{code}"):
        renew(entra_provider, nadia)


def test_unknown_refresh_token_is_lapsed(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    with pytest.raises(Lapsed):
        entra_provider.renew(nadia.identity.subject, "rubbish")


def test_refresh_token_of_another_person_is_refused(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    omar = sign_in(entra_provider, entra, "omar")
    with pytest.raises(SourceMisbehaved) as caught:
        entra_provider.renew(nadia.identity.subject, omar.refresh_token or "")
    assert caught.value.problem == "subject"


@pytest.mark.parametrize("part", ["/oauth2/v2.0/token", "/v1.0/me"])
@pytest.mark.parametrize("status", [500, 503, 429, 0])
def test_trouble_there_is_no_word_on_the_person(
    entra_provider: EntraProvider, entra: Entra, nadia: Arrival, part: str, status: int
) -> None:
    entra.fail(part, status)
    with pytest.raises(SourceUnreachable) as caught:
        renew(entra_provider, nadia)
    assert caught.value.trouble == ("unavailable" if status else "closed")


def test_deleted_person_is_told_by_graph(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    entra.person("nadia").deleted = True
    entra.person("nadia").refresh_error = None
    with pytest.raises(PersonNotUsable) as caught:
        renew(entra_provider, nadia)
    assert caught.value.state is State.OUT_OF_SCOPE


def test_token_that_graph_refuses_is_lapsed(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    entra.fail("/v1.0/me", 401)
    with pytest.raises(Lapsed):
        renew(entra_provider, nadia)


@pytest.mark.parametrize("part", ["/oauth2/v2.0/token", "/v1.0/me"])
def test_retry_after_is_honoured(entra_provider: EntraProvider, entra: Entra, nadia: Arrival, clock: FixedClock, part: str) -> None:
    entra.fail(part, 429, Retry_After="40")
    with pytest.raises(SourceUnreachable):
        renew(entra_provider, nadia)
    asked = entra.asked(part)
    clock.advance(timedelta(seconds=39))
    with pytest.raises(SourceUnreachable) as caught:
        renew(entra_provider, nadia)
    assert caught.value.trouble == "paused"
    assert entra.asked(part) == asked
    clock.advance(timedelta(seconds=2))
    assert renew(entra_provider, nadia).identity


def test_rest_without_end_is_not_believed(entra_provider: EntraProvider, entra: Entra, nadia: Arrival, clock: FixedClock) -> None:
    entra.fail("/v1.0/me", 503, Retry_After="9999999")
    with pytest.raises(SourceUnreachable):
        renew(entra_provider, nadia)
    clock.advance(timedelta(minutes=5))
    assert renew(entra_provider, nadia).identity


def test_nobody_waits_when_entra_failed_often_enough(open_entra: OpenEntra, entra: Entra, clock: FixedClock) -> None:
    provider = open_entra(failures=2)
    nadia = sign_in(provider, entra)
    entra.fail("/oauth2/v2.0/token", 503, times=2)
    for trouble in ("unavailable", "unavailable", "paused"):
        with pytest.raises(SourceUnreachable) as caught:
            renew(provider, nadia)
        assert caught.value.trouble == trouble
        if trouble == "unavailable" and entra.faults[-1].times:
            depart(provider)  # asks nobody anything, and is no sign of life
    with pytest.raises(SourceUnreachable):
        depart(provider)  # and nobody is sent to where nothing comes back from
    clock.advance(timedelta(seconds=16))
    assert renew(provider, nadia).identity


@pytest.mark.parametrize("body", [b"<html>a proxy's page</html>", b"[]", b"", b"[" * 100_000])
def test_answer_that_is_no_json_is_not_believed(entra_provider: EntraProvider, entra: Entra, nadia: Arrival, body: bytes) -> None:
    for part in ("/oauth2/v2.0/token", "/v1.0/me"):
        entra.fail(part, 200, body=body)
        with pytest.raises(SourceMisbehaved):
            renew(entra_provider, nadia)


def test_answer_without_end_is_cut(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    entra.fail("/v1.0/me", 200, body=b" " * 5_000_000)
    with pytest.raises(SourceMisbehaved, match="more than"):
        renew(entra_provider, nadia)


def test_redirect_is_not_followed(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    entra.fail("/v1.0/me", 302, Location="https://graph.evil.example/me")
    with pytest.raises(SourceMisbehaved):
        renew(entra_provider, nadia)


def test_other_persons_profile_is_refused(entra_provider: EntraProvider, entra: Entra, nadia: Arrival) -> None:
    entra.fail("/v1.0/me", 200, body=b'{"id": "00000000-0000-4000-8000-000000000009"}')
    with pytest.raises(SourceMisbehaved) as caught:
        renew(entra_provider, nadia)
    assert caught.value.problem == "subject"
