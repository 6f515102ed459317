"""The two halves attacked: guessed, replayed, raced, redeemed by the desk, stopped, too late; and what is left of the person still asked."""

import re
import threading
from datetime import timedelta

import pytest

from idp.desk.marks import Marks
from idp.signin.devices import read_secrets
from tests.conftest import MakeRoom
from tests.flows.test_account_pages import NEW
from tests.flows.test_redemption import RESETS, give_code, phone_of, redeem
from tests.support.browser import Browser, Page
from tests.support.cast import AT_GLYCINES, OUTSIDE, PASSWORD
from tests.support.reset_desk import Halves, ResetDesk
from tests.support.second_factors import Phone
from tests.support.smtp import SmtpServer
from tests.support.world import World

WRONG = "ABCD-EFGH"
STOP = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b")


@pytest.fixture
def desk(make_room: MakeRoom, smtp: SmtpServer) -> ResetDesk:
    return ResetDesk(make_room(mail=smtp.settings(), resets=RESETS), smtp)


@pytest.fixture
def world(desk: ResetDesk) -> World:
    return desk.world


def type_halves(world: World, spoken: str, sent: str, *, address: str = OUTSIDE) -> Page:
    browser = world.browser(language="en", address=address)
    browser.get("/reset")
    return browser.submit("reset-form", spoken=spoken, sent=sent)


def nothing_opened(desk: ResetDesk, halves: Halves, state: str = "issued") -> bool:
    reset = desk.reset(halves.reset_id)
    return reset.state == state and reset.redeemed_at is None and desk.world.events("reset.redeemed") == []


def test_one_half_opens_nothing(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    for spoken, sent in ((halves.spoken, ""), ("", halves.sent), (halves.sent, halves.spoken), (halves.spoken, halves.spoken), ("", "")):
        page = type_halves(world, spoken, sent)
        assert (page.status, "open nothing" in page.text) == (403, True)
    assert nothing_opened(desk, halves)


def test_the_sent_half_is_burnt_after_five_guesses_and_the_person_is_told(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    for count in range(5):
        assert type_halves(world, halves.spoken, f"ABCD-EF{count}0").status == 403
    assert world.last_event("reset.refused")["reason"] == "reset_wrong_half"
    assert nothing_opened(desk, halves, "burnt")
    assert type_halves(world, halves.spoken, halves.sent).status == 403
    assert len(world.events("reset.burnt")) == 1
    desk.room.deliver()
    assert any("abandonn" in str(mail["Subject"]) for mail in desk.smtp.mails())
    assert nothing_opened(desk, halves, "burnt")


def test_guessing_spoken_halves_waits_by_address_whoever_they_are_of(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    pages = [type_halves(world, WRONG, WRONG) for _ in range(21)]
    assert {page.status for page in pages[:20]} == {403}
    assert pages[20].status == 429
    assert pages[20].headers["Retry-After"] == "900"
    assert world.last_event("reset.refused")["reason"] == "throttled"
    assert type_halves(world, halves.spoken, halves.sent).status == 429
    assert nothing_opened(desk, halves)
    assert redeem(world.browser(language="en"), halves).status == 200


def test_an_unknown_a_wrong_and_a_late_half_read_alike(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    unknown, wrong = type_halves(world, WRONG, WRONG), type_halves(world, halves.spoken, WRONG)
    world.clock.advance(timedelta(minutes=31))
    late = type_halves(world, halves.spoken, halves.sent)

    def said(page: Page) -> tuple[int, str]:
        return page.status, page.text.replace(page.support_code or "", "").split("Support code")[0]

    alike = {said(page)[0] for page in (unknown, wrong, late)}
    assert alike == {403}
    assert all("open nothing" in page.text for page in (unknown, wrong, late))
    assert world.last_event("reset.refused")["reason"] == "reset_too_late"
    assert nothing_opened(desk, halves)


def test_halves_serve_once_whoever_replays_them(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire")
    assert "factor-form" in redeem(world.browser(language="en"), halves).forms
    assert type_halves(world, halves.spoken, halves.sent).status == 403
    assert world.last_event("reset.refused")["reason"] == "reset_not_now"
    assert len(world.events("reset.redeemed")) == 1


def test_of_two_browsers_at_once_one_redeems(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    browsers = [world.browser(language="en", address=address) for address in ("127.0.0.1", AT_GLYCINES, OUTSIDE)]
    for browser in browsers:
        browser.get("/reset")
    ready, pages = threading.Barrier(len(browsers)), list[Page]()

    def go(browser: Browser) -> None:
        ready.wait()
        pages.append(browser.submit("reset-form", spoken=halves.spoken, sent=halves.sent))

    threads = [threading.Thread(target=go, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(page.status for page in pages) == [200, 403, 403]
    assert len(world.events("reset.redeemed")) == 1


def test_another_browser_does_not_go_on_with_what_one_has_opened(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    browser = world.browser(language="en")
    page = redeem(browser, halves)
    assert "password-form" in page.forms
    thief = world.browser(language="en")
    token = thief.get("/reset").forms["reset-form"].fields
    assert thief.get("/reset/password").forms.keys() == {"reset-form"}
    assert thief.post("/reset/password", {**token, "new_password": NEW, "confirm_password": NEW}).status == 410
    assert world.events("password.changed") == []


def test_what_was_opened_is_over_after_a_quarter_of_an_hour(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    browser = world.browser(language="en")
    redeem(browser, halves)
    world.clock.advance(timedelta(minutes=15))
    page = browser.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.status == 410
    assert world.events("password.changed") == []
    assert desk.reset(halves.reset_id).state == "redeemed"


def marks_of(world: World, browser: Browser, *accounts: str) -> Marks:
    """As the console's pages take them from the agent's browser."""
    from flask.json.tag import TaggedJSONSerializer
    from itsdangerous import URLSafeTimedSerializer

    cookie = browser.cookie("__Host-vestibule-browser")
    assert cookie is not None
    _, payload = URLSafeTimedSerializer("", salt="cookie-session", serializer=TaggedJSONSerializer()).loads_unsafe(cookie.value)
    device = browser.cookie("__Host-vestibule-device")
    secrets = read_secrets(device.value if device else None)
    return Marks.of(payload["browser"], secrets, world.application.keyring, account_ids=accounts)


def agent_at_work(world: World) -> Browser:
    """Rose, the agent, signed in at our own pages; she has no role yet."""
    browser = world.browser(language="en")
    browser.sign_in("rose.marchand", PASSWORD, page=browser.get("/account"))
    return browser


def sign_in_as_agent(world: World, browser: Browser, phone: Phone) -> None:
    """Again, now that a second factor is asked of her."""
    browser.sign_in("rose.marchand", PASSWORD, page=browser.get("/account"))
    assert give_code(world, browser, phone).url.endswith("/account")


def test_both_halves_in_the_agents_browser_are_refused_burnt_and_told(desk: ResetDesk, world: World) -> None:
    agent = agent_at_work(world)
    halves = desk.issue("claire", browser=marks_of(world, agent))
    page = redeem(agent, halves)
    assert page.status == 403
    assert "not for this browser" in page.text
    misused = world.last_event("reset.misused")
    assert (misused["reason"], misused["details"]["both"]) == ("reset_by_own_agent", True)
    assert nothing_opened(desk, halves, "burnt")
    assert redeem(world.browser(language="en", address=OUTSIDE), halves).status == 403
    desk.room.deliver()
    assert any("guichet" in mail.get_content() for mail in desk.smtp.mails())


def test_the_agent_signed_out_with_cookies_kept_is_known_again(desk: ResetDesk, world: World) -> None:
    agent = agent_at_work(world)
    agent.get("/account")
    agent.press("account-signout")
    halves = desk.issue("claire", browser=marks_of(world, agent))
    agent.get("/reset")
    page = agent.submit("reset-form", spoken=halves.spoken, sent=WRONG)
    assert "not for this browser" in page.text
    assert world.last_event("reset.misused")["details"]["both"] is False
    assert nothing_opened(desk, halves)  # only one half was in the agent's hands: the person may still go on
    assert redeem(world.browser(language="en"), halves).status == 200


def test_the_agent_in_another_browser_is_known_by_their_session(desk: ResetDesk, world: World) -> None:
    phone = phone_of(world, "rose")
    halves = desk.issue("claire", browser=marks_of(world, agent_at_work(world)))
    elsewhere = world.browser(language="en", address=OUTSIDE)
    sign_in_as_agent(world, elsewhere, phone)
    assert redeem(elsewhere, halves).status == 403
    assert nothing_opened(desk, halves, "burnt")


def test_the_agents_device_is_known_after_its_secret_went_on(desk: ResetDesk, world: World) -> None:
    agent, phone = agent_at_work(world), phone_of(world, "rose")
    agent.get("/account")
    agent.press("account-signout")
    halves = desk.issue("claire", browser=marks_of(world, agent))
    world.clock.advance(timedelta(minutes=1))
    sign_in_as_agent(world, agent, phone)
    agent.press("account-signout")
    host = next(key for key in agent.jar if "vestibule-browser" in key[1])
    del agent.jar[host]  # a new browser secret, the device's cookie kept
    assert redeem(agent, halves).status == 403
    assert nothing_opened(desk, halves, "burnt")


def test_the_password_is_not_chosen_before_the_factor_that_is_left(desk: ResetDesk, world: World) -> None:
    phone = phone_of(world)
    halves = desk.issue("claire")
    browser = world.browser(language="en")
    token = redeem(browser, halves).forms["factor-form"].fields["csrf_token"]
    page = browser.post("/reset/password", {"csrf_token": token, "new_password": NEW, "confirm_password": NEW})
    assert page.url.endswith("/reset/factor")
    for _ in range(3):
        assert browser.submit("factor-form", code="000000").status == 403
    assert world.last_event("factor.refused")["reason"] == "wrong_code"
    assert world.events("password.changed") == []
    assert "password-form" in give_code(world, browser, phone).forms


def test_guesses_at_the_factor_that_is_left_wait(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire")
    browser = world.browser(language="en")
    redeem(browser, halves)
    statuses = [browser.submit("factor-form", code=f"{guess:06}").status for guess in range(7)]
    assert statuses[-1] == 429
    assert world.events("password.changed") == []


def test_the_factor_is_not_enrolled_without_the_password(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire", "factor")
    browser = world.browser(language="en", address=OUTSIDE)
    redeem(browser, halves)
    page = browser.sign_in("claire.dubois", "Pas-Du-Tout-Le-Bon-12")
    assert page.status == 403
    # Somebody else's password is theirs, and does not take her pass.
    page = browser.sign_in("amina.benali", PASSWORD)
    assert "enrol-choice" not in page.forms
    assert desk.reset(halves.reset_id).state == "redeemed"
    assert world.events("factor.enrolled")[1:] == []


def test_the_pass_of_a_reset_opens_nothing_in_another_browser(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire", "factor")
    redeem(world.browser(language="en", address=OUTSIDE), halves)
    thief = world.browser(language="en", address=OUTSIDE)
    thief.get(world.relying_party().begin())
    page = thief.sign_in("claire.dubois", PASSWORD)
    assert "enrol-choice" not in page.forms
    assert desk.reset(halves.reset_id).state == "redeemed"


def stop_code_of(desk: ResetDesk) -> str:
    """From any of the mails: it is the same in all."""
    desk.room.deliver()
    (stop,) = {code for mail in desk.smtp.mails() for code in STOP.findall(mail.get_content())}
    return str(stop)


def test_the_person_stops_it_between_the_halves_and_the_password(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    thief = world.browser(language="en", address=OUTSIDE)
    redeem(thief, halves)
    stop = stop_code_of(desk)
    person = world.browser(language="en")
    person.get("/stop")
    assert person.submit("stop-form", stop=WRONG).status == 403
    page = person.submit("stop-form", stop=stop.lower())
    assert "is stopped" in page.text
    page = thief.submit("password-form", new_password=NEW, confirm_password=NEW)
    assert page.status == 410
    assert world.events("password.changed") == []
    assert desk.reset(halves.reset_id).state == "stopped"


def test_whoever_is_about_to_add_a_factor_is_stopped_too(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire", "factor")
    thief = world.browser(language="en", address=OUTSIDE)
    redeem(thief, halves)
    thief.sign_in("claire.dubois", PASSWORD)
    page = thief.submit("enrol-choice", button="totp")
    person = world.browser(language="en")
    person.get("/stop")
    assert "is stopped" in person.submit("stop-form", stop=stop_code_of(desk)).text
    thief.submit("totp-form", page=page, code=Phone.scanning(page.markup).code(world.clock))
    assert world.last_event("enrolment.refused")["reason"] == "pass_not_valid"
    with world.database.read() as tx:
        assert tx.factors.open_of(world.account("claire").id) == ()


def test_stop_codes_are_not_guessed(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    browser = world.browser(language="en", address=OUTSIDE)
    browser.get("/stop")
    statuses = [browser.submit("stop-form", stop=f"ABCDE-{guess:05}").status for guess in range(13)]
    assert statuses == [403] * 12 + [429]
    assert desk.reset(halves.reset_id).state == "issued"


def test_another_site_does_not_type_the_halves(desk: ResetDesk, world: World) -> None:
    halves = desk.issue("claire")
    browser = world.browser(language="en")
    browser.get("/reset")
    page = browser.post("/reset", {"spoken": halves.spoken, "sent": halves.sent}, headers={"Origin": "https://pirate.example"})
    assert page.status == 400
    assert nothing_opened(desk, halves)


def test_no_half_stays_in_the_files_or_the_trail(desk: ResetDesk, world: World) -> None:
    phone_of(world)
    halves = desk.issue("claire", "both")
    type_halves(world, halves.spoken, WRONG)
    redeem(world.browser(language="en"), halves)
    kept = str(world.events()) + str(desk.reset(halves.reset_id))
    for half in (halves.spoken, halves.sent, halves.spoken.replace("-", ""), halves.sent.replace("-", "")):
        assert half not in kept
