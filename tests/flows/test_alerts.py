"""Alerts by a real mail server: to the establishment's own contact and the DPO, counted, once, and nothing without a server.

Each is caused as people cause it: by a sign-in, a page, a command, a directory.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from idp.work import Worker
from tests.conftest import MakeRoom
from tests.flows.test_account_pages import at_account
from tests.flows.test_own_history import lines_of
from tests.flows.test_redemption import RESETS, redeem
from tests.security.test_redemption_attacks import WRONG, agent_at_work, marks_of, stop_code_of, type_halves
from tests.support.agents import enter_console
from tests.support.browser import Page
from tests.support.cast import LANS, OUTSIDE, PASSWORD
from tests.support.messaging import Messaging
from tests.support.operator import Operator
from tests.support.reset_desk import ResetDesk
from tests.support.slapd import PASSWORD as DIRECTORY_PASSWORD
from tests.support.slapd import Slapd
from tests.support.smtp import SmtpServer

DPO = "dpo@groupe.example"
TILLEULS, GLYCINES = "contact@tilleuls.example", "contact@glycines.example"
WINDOW = timedelta(minutes=15)
HOURS_TO_NIGHT = timedelta(hours=15)  # from nine in the morning in Paris
Cause = Callable[[Messaging, SmtpServer], None]


def furnished(room: Messaging) -> Messaging:
    """The homes of a room with a contact each; what happened before is not news."""
    with room.world.arranging() as tx:
        for slug in LANS:
            tx.establishments.change(room.world.establishment(slug).id, {"contact_email": f"contact@{slug}.example"})
    alerts(room)
    return room


@pytest.fixture
def room(make_room: MakeRoom, smtp: SmtpServer) -> Messaging:
    return furnished(make_room(mail=smtp.settings(), alerts={"dpo": DPO}, resets=RESETS))


def alerts(room: Messaging) -> Counter[str]:
    """A worker that has just begun looks; on PostgreSQL a line is settled when seen twice. How many mails of each kind were queued."""
    before = len(room.world.events("alert."))
    worker = Worker(room.world.application)
    worker.stand()
    queued = sum(worker.alerts.run_once() for _ in range(3))
    worker.tenure.release()
    worker.deliverer.close()
    worker.sender.close()
    worker.streamer.close()
    room.deliver()
    kinds = Counter(line["details"]["kind"] for line in room.world.events("alert.")[before:])
    assert kinds.total() == queued
    return kinds


def told(smtp: SmtpServer, kind: str = "") -> dict[str, str]:
    """What each address was told by alerts (whose subject holds `kind`), in one text."""
    found: dict[str, str] = {}
    for mail in smtp.mails():
        if str(mail["To"]) in {TILLEULS, GLYCINES, DPO} and kind in str(mail["Subject"]):
            found[str(mail["To"])] = found.get(str(mail["To"]), "") + str(mail["Subject"]) + "\n" + mail.get_content()
    return found


def try_to_sign_in(room: Messaging, identifier: str, password: str = PASSWORD, *, address: str = LANS["tilleuls"]) -> Page:
    browser = room.world.browser(address=address)
    return browser.sign_in(identifier, password, page=browser.get("/account"))


def suspended_aide_tries(room: Messaging, slug: str = "tilleuls") -> None:
    """Paul, whose account is suspended, at a home's computer."""
    page = try_to_sign_in(room, "paul.garnier", address=LANS[slug])
    assert page.status == 403
    assert room.world.last_event("signin.refused")["reason"] == "account_not_active"


def nurse_disowns(room: Messaging, smtp: SmtpServer) -> None:
    browser, _ = at_account(room.world)
    page = browser.get("/account/history")
    assert browser.submit("history-form", button=str(lines_of(page)[-1])).status == 200


def sealed_account_is_used(room: Messaging, smtp: SmtpServer) -> None:
    operator = Operator(room.world.config_path, clock=room.world.clock)
    password = operator.do("break-glass", "seal", "secours", "--establishment", "tilleuls", "--profile", "it").strip()
    assert try_to_sign_in(room, "secours", password).url.endswith("/account")


def administrator_enters_at_night(room: Messaging, smtp: SmtpServer) -> None:
    room.world.clock.advance(HOURS_TO_NIGHT)
    enter_console(room.world)


def agent_types_both_halves(room: Messaging, smtp: SmtpServer) -> None:
    desk = ResetDesk(room, smtp)
    agent = agent_at_work(room.world)
    assert redeem(agent, desk.issue("claire", browser=marks_of(room.world, agent))).status == 403


def halves_are_guessed(room: Messaging, smtp: SmtpServer) -> None:
    halves = ResetDesk(room, smtp).issue("claire")
    for _ in range(5):
        assert type_halves(room.world, halves.spoken, WRONG).status == 403


def nurse_stops_a_reset(room: Messaging, smtp: SmtpServer) -> None:
    desk = ResetDesk(room, smtp)
    agent = desk.agent()
    reset = room.world.application.desk.resets.ask(
        agent, room.world.account("claire"), kind="password", establishment=room.world.establishment("tilleuls"), why="test"
    )
    browser = room.world.browser(language="en")
    browser.get("/stop")
    assert "is stopped" in browser.submit("stop-form", stop=stop_code_of(desk)).text
    assert desk.reset(reset.id).state == "stopped"


ALARMS: dict[str, tuple[Cause, str, str, str]] = {
    "disowned": (nurse_disowns, "disowned", "ce n’était pas moi", "Claire Dubois"),
    "break-glass": (sealed_account_is_used, "break_glass", "compte de secours", ""),
    "outside-hours": (administrator_enters_at_night, "outside_hours", "hors des heures", "Rose Marchand"),
    "own-agent": (agent_types_both_halves, "own_agent", "codes essayés par le guichet", "Claire Dubois"),
    "burnt": (halves_are_guessed, "reset_alarm", "réinitialisation arrêtée", "Claire Dubois"),
    "stopped": (nurse_stops_a_reset, "reset_alarm", "réinitialisation arrêtée", "Claire Dubois"),
}


@pytest.mark.parametrize(("cause", "kind", "subject", "name"), ALARMS.values(), ids=ALARMS)
def test_a_contact_and_the_dpo_are_told_when(room: Messaging, smtp: SmtpServer, cause: Cause, kind: str, subject: str, name: str) -> None:
    cause(room, smtp)
    assert alerts(room)[kind] == 2
    mails = told(smtp, subject)
    assert set(mails) == {TILLEULS, DPO}
    assert name in mails[TILLEULS]
    assert not name or name not in mails[DPO]
    assert "Nombre\u00a0: 1" in mails[TILLEULS]
    assert not any("http" in text or "://" in text for text in mails.values())
    sent = [line for line in room.world.events("alert.") if line["details"]["kind"] == kind]
    assert [line["details"]["count"] for line in sent] == [1, 1]
    assert {line["establishment_id"] for line in sent} == {room.world.establishment("tilleuls").id}


def test_nobody_is_told_of_an_administrator_in_working_hours(room: Messaging) -> None:
    enter_console(room.world)
    assert room.world.events("console.opened") != []
    assert alerts(room)["outside_hours"] == 0


def test_nobody_is_told_twice_when_the_worker_begins_again(room: Messaging, smtp: SmtpServer) -> None:
    sealed_account_is_used(room, smtp)
    assert alerts(room)["break_glass"] == 2
    room.world.clock.advance(WINDOW)
    assert alerts(room) == Counter()


def test_a_contact_gets_one_mail_with_a_count_when_much_happens_in_a_window(room: Messaging, smtp: SmtpServer) -> None:
    room.world.sign_in("claire")
    assert alerts(room) == {"new_device": 2}
    for _ in range(3):
        room.world.sign_in("claire")
    assert alerts(room) == Counter()
    for _ in range(4):
        room.world.sign_in("rose")
    assert alerts(room) == Counter()
    room.world.clock.advance(WINDOW)
    smtp.forget()
    assert alerts(room) == {"new_device": 2}
    text = told(smtp)[TILLEULS]
    assert "Nombre\u00a0: 7" in text
    assert "Dubois" not in text


def test_a_contact_is_told_at_once_whatever_another_home_was_told_a_minute_ago(room: Messaging, smtp: SmtpServer) -> None:
    suspended_aide_tries(room, "tilleuls")
    assert alerts(room) == {"disabled_account": 2}
    assert set(told(smtp)) == {TILLEULS, DPO}
    smtp.forget()
    room.world.clock.advance(timedelta(minutes=1))
    suspended_aide_tries(room, "tilleuls")
    suspended_aide_tries(room, "glycines")
    assert alerts(room) == {"disabled_account": 2}
    mails = told(smtp)
    assert set(mails) == {GLYCINES, DPO}
    assert "Les Tilleuls" not in "".join(mails.values())
    smtp.forget()
    room.world.clock.advance(WINDOW - timedelta(minutes=1))
    assert alerts(room) == {"disabled_account": 2}
    mails = told(smtp)
    assert set(mails) == {TILLEULS, DPO}
    assert "Nombre\u00a0: 1" in mails[TILLEULS]
    assert "Paul Garnier" in mails[TILLEULS], "who tried while it waited is kept"


def test_a_contact_is_told_of_somebody_whom_the_directory_has_disabled(make_room: MakeRoom, smtp: SmtpServer, slapd: Slapd) -> None:
    room = furnished(make_room(mail=smtp.settings(), alerts={"dpo": DPO}, directories=[slapd.settings()]))
    assert try_to_sign_in(room, "d.claire", DIRECTORY_PASSWORD).url.endswith("/account")
    slapd.disable("d.claire")
    assert try_to_sign_in(room, "d.claire", DIRECTORY_PASSWORD).status == 403
    assert room.world.last_event("signin.refused")["reason"] == "directory_disabled"
    assert alerts(room)["disabled_account"] == 2
    assert set(told(smtp, "compte désactivé")) == {TILLEULS, DPO}


def test_a_contact_is_told_no_name_of_another_establishments_people(room: Messaging, smtp: SmtpServer) -> None:
    suspended_aide_tries(room, "glycines")
    try_to_sign_in(room, "claire.dubois", "Pas-Du-Tout-Le-Bon-12", address=LANS["glycines"])
    assert alerts(room) == {"disabled_account": 2}
    mails = told(smtp)
    assert set(mails) == {GLYCINES, DPO}
    assert "Nombre\u00a0: 1" in mails[GLYCINES]
    assert "Garnier" not in "".join(mails.values())


def test_the_dpo_alone_is_told_of_guessing_that_is_at_no_establishment(room: Messaging, smtp: SmtpServer) -> None:
    for number in range(11):
        try_to_sign_in(room, f"personne.{number}", f"Pas-Du-Tout-Le-Bon-{number}", address=OUTSIDE)
    assert alerts(room) == {"spraying": 1}
    assert set(told(smtp, "en série")) == {DPO}


def test_nothing_is_queued_without_a_mail_server(make_room: MakeRoom, smtp: SmtpServer) -> None:
    silent = furnished(make_room(alerts={"dpo": DPO}))
    sealed_account_is_used(silent, smtp)
    assert alerts(silent) == Counter()
    assert silent.messages() == ()
