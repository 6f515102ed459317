"""The reset desk in Chromium, at two in the morning: a locked nurse who has lost her telephone is unlocked, reset and at work again.

Three browsers that know nothing of one another: the IT contact's, the telephone of the approver on call, the nurse's own. The directory is a real
slapd, then a real Samba domain; the mail goes through a real SMTP server. The clock runs, so that the time of handling is one.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.browser.test_passkeys import NO_AUTOFILL, PHONE, plug_in
from tests.conftest import MakeRoom
from tests.support.agents import give_role
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.fixed_clock import FixedClock
from tests.support.listener import Listener
from tests.support.messaging import Messaging
from tests.support.neighbour import Door
from tests.support.processes import wait_until
from tests.support.reset_desk import ResetDesk
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD as DOMAIN_PASSWORD
from tests.support.second_factors import AT_WORK, ORIGIN, Asking, Phone, enrol_phone
from tests.support.slapd import PASSWORD, Slapd
from tests.support.smtp import SmtpServer
from tests.support.stores import Stores
from tests.support.world import Furniture, World, furnish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NIGHT = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)  # two in the morning in Paris
TILLEULS, GLYCINES, OUTSIDE = "10.20.0.7", "10.20.128.7", "198.51.100.7"
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
LONGEST_HANDLING = timedelta(minutes=1)
NEW = "Hamac-Cerfeuil-83-Tournesol"


class RunningClock(FixedClock):
    """From an instant on, as fast as the wall's."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self._began = time.monotonic()

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=time.monotonic() - self._began)


@pytest.fixture(scope="module")
def furniture(tmp_path_factory: pytest.TempPathFactory, session_listener: Listener, stores: Stores) -> Furniture:
    """What the worlds of this module are copied from: made long before."""
    start = min(datetime.now(UTC), NIGHT) - timedelta(days=30)
    return furnish(tmp_path_factory.mktemp("furniture-before"), FixedClock(start), session_listener, stores=stores)


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> FixedClock:
    """Two in the morning; now, for a domain controller, which goes by the real time."""
    return RunningClock(datetime.now(UTC) if "samba" in request.fixturenames else NIGHT)


@pytest.fixture
def door() -> Iterator[Door]:
    """Where the browsers find the server."""
    opened = Door()
    yield opened
    opened.close()


@dataclass(frozen=True, slots=True)
class Home:
    """The server, and who is there."""

    room: Messaging
    smtp: SmtpServer
    chromium: Browser

    @property
    def world(self) -> World:
        return self.room.world

    def browser(self, address: str, size: ViewportSize) -> Page:
        """A browser of somebody, somewhere."""
        context: BrowserContext = self.chromium.new_context(locale="fr-FR", viewport=size)
        context.set_default_timeout(15_000)
        context.set_extra_http_headers({"X-Forwarded-For": address})
        page = context.new_page()
        page.add_init_script(NO_AUTOFILL)
        return page

    def subjects(self) -> list[str]:
        """What the nurse was told, by the real server."""
        self.room.deliver()
        return [str(mail["Subject"]) for mail in self.smtp.mails()]


@pytest.fixture
def make_home(make_room: MakeRoom, smtp: SmtpServer, door: Door, chromium: Browser) -> Callable[..., Home]:
    """A home with these directories and these settings of the desk."""

    def make(directory: dict[str, Any], resets: dict[str, Any]) -> Home:
        room = make_room(
            issuer=f"http://localhost:{door.port}",
            server={"trusted_proxies": ["127.0.0.1/32", "::1/128"]},
            mail=smtp.settings(),
            resets=resets,
            directories=[directory],
        )
        door.answer = room.world.wsgi
        return Home(room, smtp, chromium)

    return make


def fill_sign_in(page: Page, name: str, password: str) -> None:
    page.locator("#identifier").fill(name)
    page.locator("#password").fill(password)
    page.locator("#signin-submit").click()


def give_totp(home: Home, page: Page, phone: Phone) -> None:
    page.locator('#factor-form input[name="code"]').fill(phone.code(home.world.clock))
    page.locator("#factor-submit").click()


def contact_at_console(home: Home) -> Page:
    """Rose, IT contact, at the console with her second factor."""
    phone = enrol_phone(home.world, home.world.application.signin.second_factors, "rose")
    give_role(home.world, "rose", "it_contact", "tilleuls")
    page = home.browser(TILLEULS, DESKTOP)
    page.goto(f"{home.world.issuer}/admin")
    fill_sign_in(page, "rose.marchand", LOCAL_PASSWORD)
    give_totp(home, page, phone)
    page.wait_for_url("**/admin")
    return page


def approver_on_call(home: Home) -> Page:
    """Karim, at home with a telephone that holds his passkey."""
    page = home.browser(GLYCINES, PHONE)
    plug_in(page)
    page.goto(f"{home.world.issuer}/account/factors/passkey")
    fill_sign_in(page, "karim.haddad", LOCAL_PASSWORD)
    page.locator("#passkey-submit").click()
    expect(page.locator("#passkey-form")).to_have_count(0)
    page.goto(f"{home.world.issuer}/account")
    page.locator("#account-signout").click()
    give_role(home.world, "karim", "on_call_approver")
    page.context.set_extra_http_headers({"X-Forwarded-For": OUTSIDE})
    return page


def nurse_with_telephone(home: Home, name: str, password: str) -> tuple[str, Phone]:
    """Her first sign-in, some weeks ago, and the application on her telephone: her account's id."""
    world = home.world
    page = home.browser(TILLEULS, DESKTOP)
    page.goto(f"{world.issuer}/account")
    fill_sign_in(page, name, password)
    page.wait_for_url("**/account")
    page.context.close()
    account = ResetDesk(home.room, home.smtp).known_for_long(name)
    now = world.clock.now()
    asking = Asking(
        account_id=account.id,
        establishment_id=world.establishment("tilleuls").id,
        whereabouts=AT_WORK,
        signed_in_at=now,
        proved_at=None,
    )
    totp = world.application.signin.second_factors.totp
    offer = totp.begin(account)
    totp.enrol(asking, offer.token, Phone(offer.secret).code(world.clock), label="", origin=ORIGIN)
    return account.id, Phone(offer.secret)


def find(page: Page, home: Home, typed: str, account_id: str) -> None:
    """From the front page to the person."""
    page.goto(f"{home.world.issuer}/admin/people")
    page.locator("#q").fill(typed)
    page.locator("#q").press("Enter")
    page.locator(f'a.person-link[href="/admin/people/{account_id}"]').click()


def ask(page: Page, kind: str) -> str:
    """The request, with the proof: its address."""
    page.locator(f"#act-reset-{kind}").click()
    page.locator("#why").fill("téléphone perdu" if kind == "factor" else "mot de passe oublié")
    page.locator("#reset-ask-go").click()
    expect(page.locator("#reset-done")).to_be_visible()
    address = page.url.partition("?")[0]
    page.locator("#how-in_person").check()
    page.locator("#prove").click()
    expect(page.locator("#reset-done")).to_be_visible()
    return address


def approve(page: Page, address: str) -> None:
    """By passkey, on the telephone."""
    page.goto(address)
    page.locator("#passkey-submit").click()
    page.wait_for_url("**/admin/resets/**")
    page.locator("#approve").click()
    expect(page.locator("#reset-done")).to_be_visible()


def carry_out(page: Page, address: str) -> str:
    """The first half, from the screen."""
    page.goto(address)
    page.locator("#channel-email").check()
    page.locator("#carry-out").click()
    return page.locator("#half").inner_text().strip()


def redeem(home: Home, spoken: str) -> Page:
    """In her own browser, from the sign-in page on, with the half that came by mail."""
    sent = ResetDesk(home.room, home.smtp).received()
    page = home.browser(TILLEULS, PHONE)
    page.goto(f"{home.world.issuer}/account")
    page.locator("#signin-codes").click()
    page.locator("#spoken").fill(spoken.lower())
    page.locator("#sent").fill(sent)
    page.locator("#reset-submit").click()
    return page


def enrol(home: Home, page: Page, name: str, password: str) -> Page:
    """With her password, a new application."""
    fill_sign_in(page, name, password)
    page.locator('#enrol-choice button[value="totp"]').click()
    phone = Phone.scanning(page.content())
    page.locator('#totp-form input[name="code"]').fill(phone.code(home.world.clock))
    page.locator("#totp-form button[type=submit]").click()
    page.goto(page.url)
    page.wait_for_url("**/account")
    return page


def handling(home: Home, reset_id: str) -> timedelta:
    """From the agent's first move to the halves."""
    with home.world.database.read() as tx:
        moves = tx.resets.moves(reset_id)
    assert [move.move for move in moves][:4] == ["asked", "proven", "approved", "issued"]
    return moves[3].at - moves[0].at


def told_of_each_move(home: Home) -> None:
    subjects = " ".join(home.subjects())
    for words in ("demandée", "reconnu", "approuvée", "faite", "Codes de réinitialisation", "terminée", "débloqué"):
        assert words in subjects, (words, subjects)


def trail_of(home: Home, account_id: str) -> list[str]:
    return [
        line["type"] for line in home.world.events(account_id=account_id) if line["type"].startswith(("reset.", "directory.", "factor"))
    ]


def test_a_locked_night_nurse_without_her_telephone_is_at_work_again_within_the_minute(
    make_home: Callable[..., Home], slapd: Slapd
) -> None:
    home = make_home(slapd.settings(desk=slapd.desk()), {})
    nurse, _ = nurse_with_telephone(home, "d.claire", PASSWORD)
    contact, approver = contact_at_console(home), approver_on_call(home)
    slapd.lock("d.claire")
    assert slapd.values("d.claire", "pwdAccountLockedTime")
    home.subjects()
    home.smtp.forget()

    began = home.world.clock.now()
    find(contact, home, "d.cl", nurse)
    expect(contact.locator("#findings")).to_contain_text("annuaire")
    contact.locator("#act-unlock").click()
    wait_until(lambda: slapd.values("d.claire", "pwdAccountLockedTime") == [], seconds=60)
    address = ask(contact, "factor")
    approve(approver, address)
    spoken = carry_out(contact, address)
    handled = home.world.clock.now() - began

    page = enrol(home, redeem(home, spoken), "d.claire", PASSWORD)
    expect(page.locator("#account-signout")).to_be_visible()
    assert handling(home, address.rpartition("/")[2]) <= handled < LONGEST_HANDLING
    with home.world.database.read() as tx:
        (new,) = tx.factors.open_of(nurse)
        assert new.kind == "totp"
    told_of_each_move(home)
    moves = [one for one in trail_of(home, nurse) if one.startswith("reset.")]
    assert moves == ["reset.asked", "reset.proven", "reset.approved", "reset.issued", "reset.redeemed", "reset.done"]
    assert "directory.unlocked" in trail_of(home, nurse)


def test_the_same_in_a_domain_and_the_old_password_is_refused_at_once(make_home: Callable[..., Home], samba: Samba) -> None:
    now = datetime.now(ZoneInfo("Europe/Paris"))
    night = {"begins": f"{now - timedelta(hours=1):%H:%M}", "ends": f"{now + timedelta(hours=1):%H:%M}"}
    home = make_home(samba.settings(desk=samba.desk()), {"night": night})
    nurse, phone = nurse_with_telephone(home, "a.claire", DOMAIN_PASSWORD)
    contact, approver = contact_at_console(home), approver_on_call(home)
    samba.lock("a.claire")
    assert samba.values("a.claire", "lockoutTime") not in ([], ["0"])
    home.subjects()
    home.smtp.forget()

    began = home.world.clock.now()
    find(contact, home, "a.cl", nurse)
    contact.locator("#act-unlock").click()
    wait_until(lambda: samba.values("a.claire", "lockoutTime") in ([], ["0"]), seconds=60)
    address = ask(contact, "password")
    approve(approver, address)
    spoken = carry_out(contact, address)
    assert home.world.clock.now() - began < LONGEST_HANDLING
    assert samba.values("a.claire", "pwdLastSet") == ["0"]

    page = redeem(home, spoken)
    page.locator('#factor-form input[name="code"]').fill(phone.code(home.world.clock, steps=1))
    page.locator("#factor-submit").click()
    page.locator("#new_password").fill(NEW)
    page.locator("#confirm_password").fill(NEW)
    page.locator("#password-submit").click()
    page.wait_for_url("**/reset/done")
    assert samba.values("a.claire", "pwdLastSet") != ["0"]
    page.locator("#reset-sign-in").click()
    fill_sign_in(page, "a.claire", DOMAIN_PASSWORD)
    expect(page.locator("#signin-error")).to_be_visible()
    fill_sign_in(page, "a.claire", NEW)
    expect(page.locator("#account-signout")).to_be_visible()
    told_of_each_move(home)
    moves = [one for one in trail_of(home, nurse) if one.startswith("reset.")]
    assert moves == ["reset.asked", "reset.proven", "reset.approved", "reset.issued", "reset.redeemed", "reset.done"]
