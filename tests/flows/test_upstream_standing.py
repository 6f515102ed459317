"""How long a provider's word on a person is believed: asked again with the refresh token, or not at all after half a day."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from idp.audit import Origin, Reason
from idp.endings import Cause, cut_account
from idp.store.base import Link
from tests.conftest import MakeWorld
from tests.support.neighbour import NAME, Neighbour, neighbouring
from tests.support.relying_party import RelyingParty, Tokens
from tests.support.world import SignedIn, World

BOUND = timedelta(minutes=5)
GRACE = timedelta(hours=4)
HALF_A_DAY = timedelta(hours=12)
SECOND = timedelta(seconds=1)
# Sessions that would be idle sooner say nothing of standing.
LONG: dict[str, Any] = {"sessions": {"idle": "3d", "absolute": "7d"}, "tokens": {"access_token_life": "15m"}}


@pytest.fixture
def neighbour(make_world: MakeWorld) -> Iterator[Neighbour]:
    with neighbouring(make_world, **LONG) as found:
        yield found


def homely(make_world: MakeWorld, neighbour: Neighbour, **changes: Any) -> World:
    world = make_world(providers=[neighbour.settings(**changes)], **LONG)
    neighbour.link(world)
    return world


@pytest.fixture
def home(make_world: MakeWorld, neighbour: Neighbour) -> World:
    """A world that is given refresh tokens."""
    return homely(make_world, neighbour)


def signed_in(world: World, neighbour: Neighbour, **parameters: str) -> SignedIn:
    """Claire, by the provider."""
    browser, party = neighbour.browser(world), world.relying_party()
    page = browser.get(party.begin(**parameters))
    page = browser.get(f"{page.url}/upstream/{NAME}")
    if page.callback is None:
        neighbour.sign_in(browser)
    assert browser.page is not None
    assert browser.page.callback is not None, browser.page
    return SignedIn(browser, party, party.exchange(browser.page.callback))


def link_of(world: World, neighbour: Neighbour) -> Link:
    with world.database.read() as tx:
        found = tx.links.get(NAME, neighbour.world.account("claire").id)
    assert found is not None
    return found


def is_active(party: RelyingParty, tokens: Tokens) -> bool:
    return bool(party.introspect(tokens.access).json()["active"])


def suspend_there(neighbour: Neighbour) -> None:
    world = neighbour.world
    with world.arranging() as tx:
        cause = Cause(Reason.ACCOUNT_CUT, "operator:nadia", Origin("0123456789", "local"))
        cut_account(tx, world.account("claire").id, cause, status="suspended", cut_by="operator", clock=world.clock)


# Asked by refresh token


def test_a_refresh_asks_the_provider_once_its_word_is_old_and_keeps_the_next_token(home: World, neighbour: Neighbour) -> None:
    signed = signed_in(home, neighbour)
    before, asked = link_of(home, neighbour), neighbour.asked("/token")
    assert before.is_askable
    home.clock.advance(BOUND)
    answer = signed.party.refresh(signed.tokens.refresh)
    assert answer.status_code == 200
    assert neighbour.asked("/token") == asked
    home.clock.advance(SECOND)
    answer = signed.party.refresh(answer.json()["refresh_token"])
    assert answer.status_code == 200
    assert neighbour.asked("/token") == asked + 1
    after = link_of(home, neighbour)
    assert after.word_at == home.clock.now()
    assert after.refresh_seal != before.refresh_seal  # rotated there
    home.clock.advance(BOUND + SECOND)
    assert is_active(signed.party, Tokens(answer.json()))
    assert link_of(home, neighbour).word_at == home.clock.now()


def test_a_person_who_may_no_longer_come_from_there_is_out_within_the_bound(home: World, neighbour: Neighbour) -> None:
    signed = signed_in(home, neighbour, scope="openid offline_access")
    suspend_there(neighbour)
    home.clock.advance(BOUND + SECOND)
    refused = signed.party.refresh(signed.tokens.refresh)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert not is_active(signed.party, signed.tokens)
    assert link_of(home, neighbour).refresh_seal is None
    assert home.last_event("session.ended")["reason"] == "upstream_lapsed"
    assert home.last_event("upstream.refused")["reason"] == "upstream_lapsed"
    assert home.account("claire").is_active  # the Account stays: a provider that wants to see somebody has not said that they left
    page = signed.browser.get(signed.party.begin())
    assert "veut vous revoir" in page.text


def test_a_silent_authorization_asks_the_provider_too(home: World, neighbour: Neighbour) -> None:
    signed = signed_in(home, neighbour)
    suspend_there(neighbour)
    assert signed.browser.get(signed.party.begin(prompt="none")).callback is not None
    home.clock.advance(BOUND + SECOND)
    callback = signed.browser.get(signed.party.begin(prompt="none")).callback
    assert callback is not None
    assert callback["error"] == "login_required"


def test_a_session_that_began_another_way_goes_on_when_the_provider_wants_to_see_the_person(home: World, neighbour: Neighbour) -> None:
    by_password = home.sign_in("claire")
    signed_in(home, neighbour)
    suspend_there(neighbour)
    home.clock.advance(BOUND + SECOND)
    assert is_active(by_password.party, by_password.tokens)  # the provider was asked, and what came by it ended
    assert link_of(home, neighbour).refresh_seal is None
    assert [line["connector"] for line in home.events("session.ended")] == [NAME]


def test_a_provider_that_is_down_lets_people_go_on_for_the_grace(home: World, neighbour: Neighbour) -> None:
    signed = signed_in(home, neighbour)
    neighbour.is_down = True
    home.clock.advance(BOUND + SECOND)
    answer = signed.party.refresh(signed.tokens.refresh)
    assert answer.status_code == 200
    assert home.last_event("token.issued")["details"]["degraded"] is True
    home.clock.advance(GRACE)
    refused = signed.party.refresh(answer.json()["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    neighbour.is_down = False
    home.clock.advance(timedelta(minutes=1))
    assert signed.party.refresh(answer.json()["refresh_token"]).status_code == 200


def test_two_requests_at_once_ask_the_provider_once(home: World, neighbour: Neighbour) -> None:
    signed = signed_in(home, neighbour)
    asked = neighbour.asked("/token")
    home.clock.advance(BOUND + SECOND)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: is_active(signed.party, signed.tokens), range(8)))
    assert answers == [True] * 8
    assert neighbour.asked("/token") == asked + 1
    assert link_of(home, neighbour).is_askable
    assert link_of(home, neighbour).word_at == home.clock.now()


def test_a_refresh_token_is_sealed_and_opens_for_its_own_link_only(home: World, neighbour: Neighbour) -> None:
    signed = signed_in(home, neighbour)
    link = link_of(home, neighbour)
    with home.arranging() as tx:
        tx.links.change(NAME, link.subject, refresh_seal=b"x" * 60)
    home.clock.advance(BOUND + SECOND)
    assert not is_active(signed.party, signed.tokens)  # nobody can ask any more: as if the provider wanted to see the person
    assert home.last_event("session.ended")["reason"] == "upstream_lapsed"


# Not asked at all


def test_a_sign_in_by_a_provider_that_cannot_be_asked_is_believed_for_half_a_day(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = homely(make_world, neighbour, keeps_refresh_token=False)
    signed = signed_in(home, neighbour)
    assert not link_of(home, neighbour).is_askable
    home.clock.advance(HALF_A_DAY)
    answer = signed.party.refresh(signed.tokens.refresh)
    assert answer.status_code == 200
    tokens = signed.party.read_tokens(answer)
    assert is_active(signed.party, tokens)
    home.clock.advance(SECOND)
    assert not is_active(signed.party, tokens)
    assert signed.party.userinfo(tokens.access).status_code == 401
    refused = signed.party.refresh(tokens.refresh)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert home.last_event("token.refused")["reason"] == "upstream_lapsed"
    callback = signed.browser.get(signed.party.begin(prompt="none")).callback
    assert callback is not None
    assert callback["error"] == "login_required"
    page = signed.browser.get(signed.party.begin())
    assert "signin-form" in page.forms


def test_a_new_sign_in_there_gives_what_was_granted_offline_its_life_back(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = homely(make_world, neighbour, keeps_refresh_token=False)
    signed = signed_in(home, neighbour, scope="openid offline_access")
    home.clock.advance(HALF_A_DAY + SECOND)
    assert signed.party.refresh(signed.tokens.refresh).status_code == 400
    page = signed.browser.get(signed.party.begin())
    page = signed.browser.get(f"{page.url}/upstream/{NAME}")
    if page.callback is None:
        neighbour.sign_in(signed.browser)
    assert signed.party.refresh(signed.tokens.refresh).status_code == 200


def test_a_sign_in_by_password_is_not_bound_to_a_provider_that_cannot_be_asked(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = homely(make_world, neighbour, keeps_refresh_token=False)
    signed_in(home, neighbour)
    by_password = home.sign_in("claire")
    home.clock.advance(HALF_A_DAY + SECOND)
    assert by_password.party.refresh(by_password.tokens.refresh).status_code == 200
    assert by_password.browser.get(by_password.party.begin(prompt="none")).callback is not None
