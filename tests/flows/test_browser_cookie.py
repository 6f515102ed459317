"""The cookie that ties a sign-in to its browser, between hosts whose clocks are not the same."""

from datetime import timedelta

from idp.web.browser_cookie import PATIENCE
from tests.flows.refusal import at_sign_in
from tests.support.cast import PASSWORD
from tests.support.world import World


def test_nurse_signs_in_when_the_next_host_is_a_little_behind_the_first(world: World) -> None:
    browser, page = at_sign_in(world)
    world.clock.advance(timedelta(seconds=-2))
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None


def test_a_cookie_from_further_ahead_than_clocks_may_be_is_not_believed(world: World) -> None:
    browser, _ = at_sign_in(world)
    world.clock.advance(-PATIENCE - timedelta(seconds=2))
    page = browser.get(browser.page.url if browser.page else "")
    assert page.status == 400
    assert world.last_event("signin.restarted")["reason"] == "interaction_of_another_browser"


def test_a_browser_is_a_new_one_after_half_a_year(world: World) -> None:
    browser, page = at_sign_in(world)
    world.clock.advance(timedelta(days=181))
    assert browser.get(page.url).status == 400
