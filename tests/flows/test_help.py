"""/help and /help/test: what blocks people most, and what we see of a device, to whoever has not signed in."""

import pytest

from idp.web.help import browser_age
from tests.support.cast import LANS, OUTSIDE
from tests.support.world import World


def test_anybody_reads_what_blocks_people_most(world: World) -> None:
    page = world.browser(language="en").get("/help")
    assert page.status == 200
    for words in ("The clock of the computer", "The browser is too old", "The SMS does not come", "lost or stolen", "connexion.example"):
        assert words in page.text


def test_a_nurse_sees_that_her_device_is_fit(world: World) -> None:
    browser = world.browser(language="en", address=LANS["tilleuls"], user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/141.0 Safari/537.36")
    page = browser.get("/help/test")
    assert page.status == 200
    for words in (
        "Kept: all is well.",
        "Chrome, Windows",
        "Recent enough.",
        "Encrypted (HTTPS).",
        "On your establishment's network",
        "09:00",
    ):
        assert words in page.text


def test_a_nurse_is_told_when_her_browser_keeps_no_cookie(world: World) -> None:
    page = world.browser(language="en", address=OUTSIDE).get("/help/test?tested=1")
    assert "Not kept" in page.text
    assert "Outside your establishment's network" in page.text


@pytest.mark.parametrize(
    ("user_agent", "age"),
    [
        ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "old"),
        ("Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/52.0", "old"),
        ("Mozilla/5.0 (X11; Linux) Gecko/20100101 Firefox/140.0", "recent"),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605 Version/12.1 Mobile Safari/604.1", "old"),
        ("Mozilla/5.0 (iPhone) AppleWebKit/605 Version/18.1 Mobile Safari/604.1", "recent"),
        ("curl/8.0", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_browser_is_told_old_from_recent(user_agent: str, age: str) -> None:
    assert browser_age(user_agent) == age
