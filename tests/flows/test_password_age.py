"""passwords.max_age: off unless set; then a local password that is too old opens nothing before it is changed."""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from idp.config import check
from tests.conftest import MakeWorld
from tests.flows.test_account_pages import NEW, at_account, open_sessions
from tests.support.cast import PASSWORD
from tests.support.world import World

AGED = {"max_age": "180d"}


def test_a_password_is_never_too_old_unless_it_is_said(world: World) -> None:
    world.clock.advance(timedelta(days=3650))
    _, page = at_account(world)
    assert page.url.endswith("/account")


def test_nurse_chooses_a_new_password_when_hers_is_too_old(make_world: MakeWorld) -> None:
    world = make_world(passwords=AGED)
    world.clock.advance(timedelta(days=180))
    browser, page = at_account(world)
    assert "too old for the rules of your establishment" in page.text
    assert open_sessions(world, "claire") == 0
    page = browser.submit("password-form", new_password=PASSWORD, confirm_password=PASSWORD)
    assert page.status == 422
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.url.endswith("/account")
    world.clock.advance(timedelta(days=1))
    again = world.browser(language="en")
    assert again.sign_in("claire.dubois", NEW, page=again.get("/account")).url.endswith("/account")


def test_nurse_is_told_in_the_two_weeks_before(make_world: MakeWorld) -> None:
    world = make_world(passwords=AGED)
    world.clock.advance(timedelta(days=165))
    _, page = at_account(world)
    assert "It must be changed from" not in page.text
    world.clock.advance(timedelta(days=2))
    _, page = at_account(world)
    assert "It must be changed from" in page.text


def test_an_application_is_told_that_a_page_is_needed_when_it_asks_silently(make_world: MakeWorld) -> None:
    world = make_world(passwords=AGED)
    signed = world.sign_in("claire")
    # A Session that was opened with it goes on: what is asked is the next sign-in.
    assert signed.browser.get(signed.party.begin(prompt="none")).callback is not None


@pytest.mark.parametrize("said", ["29d", "1096d", "six months"])
def test_an_operator_is_told_when_the_age_makes_no_sense(world: World, tmp_path: Path, said: str) -> None:
    settings = yaml.safe_load(world.config_path.read_text(encoding="utf-8"))
    path = world.folder / "aged.yaml"
    path.write_text(yaml.safe_dump({**settings, "passwords": {"max_age": said}}), encoding="utf-8")
    assert [finding.path for finding in check(path)[1] if finding.severity == "error"] == ["passwords.max_age"]
