"""People are told by mail of what changes how they sign in: recovery codes used or made anew, another password, a pass that was handed over."""

from datetime import timedelta

import pytest

from idp.audit import Author
from idp.people.factors import issue_pass
from tests.conftest import MakeWorld
from tests.support.cast import PASSWORD
from tests.support.second_factors import ORIGIN, enrol_phone
from tests.support.smtp import SmtpServer
from tests.support.world import World

NEW = "Girafe-Lavande-77-Tramway"


@pytest.fixture
def mailing(make_world: MakeWorld, smtp: SmtpServer) -> World:
    return make_world(mail=smtp.settings())


def told(world: World) -> list[str]:
    return [line["details"]["purpose"] for line in world.events("message.queued") if line["details"]["purpose"] != "new_device"]


def test_recovery_codes_that_are_made_again_or_used_are_told(mailing: World) -> None:
    parts = mailing.application.signin.second_factors
    enrol_phone(mailing, parts)
    account_id = mailing.account("claire").id
    parts.recovery.renew(account_id, ORIGIN)
    assert told(mailing) == ["factor_added"], "the first ones come with the factor"
    codes = parts.recovery.renew(account_id, ORIGIN)
    parts.recovery.prove(account_id, codes[0], ORIGIN)
    assert told(mailing) == ["factor_added", "recovery_codes_renewed", "recovery_code_used"]


def test_another_password_is_told(mailing: World) -> None:
    browser = mailing.sign_in("claire").browser
    mailing.clock.advance(timedelta(seconds=30))
    page = browser.get("/account/password")
    form = next(name for name in page.forms if "password" in name)
    browser.submit(form, current_password=PASSWORD, new_password=NEW, confirm_password=NEW)
    assert told(mailing) == ["password_changed"]


def test_a_pass_that_is_handed_over_is_told(mailing: World) -> None:
    application = mailing.application
    tell = application.signin.sent_codes.messenger.tell
    with mailing.arranging() as tx:
        passes, author = application.signin.second_factors.passes, Author("operator:test", ORIGIN)
        issue_pass(tx, mailing.account("claire"), "sign_in", author, passes=passes, tell=tell)
    assert told(mailing) == ["pass_issued"]
