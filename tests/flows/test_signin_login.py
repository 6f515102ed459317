"""The password proof, from the outside: who may come in by which identifier, and that every refusal looks and costs the same."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from idp.audit import Author, Origin
from idp.crypto import PasswordHasher
from idp.store.tables import accounts, identifiers
from tests.conftest import MakeWorld
from tests.flows.refusal import at_sign_in, issued, refusal
from tests.support.browser import Page
from tests.support.cast import AT_GLYCINES, PASSWORD
from tests.support.world import World

WRONG = "Pas-Le-Bon-Mot-De-Passe-1"


def hashes(world: World) -> int:
    return int(world.application.hasher.hash_count)


@pytest.mark.parametrize(
    "identifier",
    [
        "claire.dubois",
        "  Claire.DUBOIS ",
        "claire.dubois@tilleuls.example",
        "Claire.Dubois@Tilleuls.example\u200b",
        "\ufeffclaire.dubois\u00a0",
        "clai\u00adre.dubois",
        "ｃｌａｉｒｅ.dubois",
        "10042",
        "1\u200c0042",
    ],
)
def test_nurse_signs_in_when_identifier_is_any_of_hers_however_pasted(world: World, identifier: str) -> None:
    browser, page = at_sign_in(world)
    page = browser.sign_in(identifier, PASSWORD, page=page)
    assert page.callback is not None
    assert page.callback.get("code")


def test_nurse_is_refused_when_password_has_a_space_more(world: World) -> None:
    browser, page = at_sign_in(world)
    before = issued(world)
    page = browser.sign_in("claire.dubois", PASSWORD + " ", page=page)
    assert refusal(world, page, before)["reason"] == "wrong_password"


def _ambiguous(world: World) -> None:
    """The same staff number at both establishments; amina's own establishment is not known to the page."""
    with world.arranging() as tx:
        tx.people.add_identifier(world.account("claire").id, "number", value="777", scope=world.establishment("tilleuls").id)
        tx.people.add_identifier(world.account("karim").id, "number", value="777", scope=world.establishment("glycines").id)


REFUSALS = [
    ("personne.inconnue", WRONG, "unknown_identifier"),
    ("claire.dubois", WRONG, "wrong_password"),
    ("paul.garnier", PASSWORD, "account_not_active"),
    ("paul.garnier", WRONG, "account_not_active"),
    ("sam.olivier", WRONG, "no_password"),
    ("777", PASSWORD, "ambiguous_identifier"),
    ("", "", "unknown_identifier"),
    ("claire.dubois", "", "wrong_password"),
    ("claire.dubois", "é" * 513, "wrong_password"),
    ("claire.dubois", "x" * 60_000, "wrong_password"),
    ("x" * 5_000, WRONG, "unknown_identifier"),
]


def readable(page: Page, identifier: str) -> str:
    """The page without what differs for everybody: the codes."""
    return (
        page.text.replace(page.support_code or "-", "")
        .replace((page.support_code or "")[:5], "")
        .replace((page.support_code or "")[5:], "")
    )


@pytest.mark.parametrize(("identifier", "password", "reason"), REFUSALS)
def test_stranger_is_refused_alike_when_any_credential_is_wrong(world: World, identifier: str, password: str, reason: str) -> None:
    _ambiguous(world)
    browser, page = at_sign_in(world)
    reference_browser, reference = at_sign_in(world)
    reference = reference_browser.sign_in("quelqu.un", WRONG, page=reference)
    before, counted = issued(world), hashes(world)
    page = browser.sign_in(identifier, password, page=page)
    event = refusal(world, page, before)
    assert event["reason"] == reason
    assert hashes(world) - counted == 1
    assert (page.status, readable(page, identifier)) == (reference.status, readable(reference, "quelqu.un"))
    assert page.status == 403
    assert "signin-form" in page.forms
    assert event["client_id"] == "carnet"


def test_unknown_identifier_is_kept_only_as_keyed_hash_when_somebody_types_a_password_there(world: World) -> None:
    browser, page = at_sign_in(world)
    browser.sign_in("Mon-Mot-De-Passe-Secret", WRONG, page=page)
    event = world.last_event("signin.refused")
    assert event["identifier_hash"]
    assert event["account_id"] is None
    content = b"".join(path.read_bytes() for path in world.folder.iterdir() if ".db" in path.name)
    assert b"mot-de-passe-secret" not in content.lower()
    assert WRONG.encode() not in content


def test_same_number_names_the_nurse_of_the_hinted_establishment(world: World) -> None:
    _ambiguous(world)
    browser, page = at_sign_in(world, browser=world.browser(address=AT_GLYCINES), client="glycines")
    page = browser.sign_in("777", PASSWORD, page=page)
    assert page.callback is not None
    assert world.last_event("signin.succeeded")["account_id"] == world.account("karim").id


def test_person_must_wait_when_fifth_try_failed_and_the_right_password_comes_too_soon(world: World) -> None:
    for identifier in ("claire.dubois", "personne.inconnue"):
        browser, page = at_sign_in(world)
        for number in range(5):
            page = browser.sign_in(identifier, f"{WRONG}{number}", page=page)
            assert page.status == 403
        before, counted = issued(world), hashes(world)
        page = browser.sign_in(identifier, PASSWORD, page=page)
        assert page.status == 429
        assert 0 < int(page.headers["Retry-After"]) <= 60
        assert refusal(world, page, before)["reason"] == "throttled"
        assert hashes(world) == counted
    world.clock.advance(timedelta(seconds=61))
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.callback is not None


def test_person_is_warned_before_the_wait(world: World) -> None:
    browser, page = at_sign_in(world)
    for number in range(4):
        page = browser.sign_in("claire.dubois", f"{WRONG}{number}", page=page)
    assert "1 essai" in page.text or "1 try left" in page.text


def test_counters_start_again_when_a_try_succeeds(world: World) -> None:
    for _ in range(2):
        browser, page = at_sign_in(world)
        for number in range(4):
            page = browser.sign_in("claire.dubois", f"{WRONG}{number}", page=page)
        assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None


def test_day_cap_holds_when_one_person_is_tried_under_every_identifier(world: World) -> None:
    browser, page = at_sign_in(world)
    tried = 0
    for number in range(15):
        for identifier in ("claire.dubois", "claire.dubois@tilleuls.example", "10042"):
            counted = hashes(world)
            page = browser.sign_in(identifier, f"{WRONG}{number}", page=page)
            tried += hashes(world) - counted
        world.clock.advance(timedelta(minutes=31))
    assert tried == 25
    assert world.last_event("signin.refused")["details"] == {"throttle": "daily_cap_reached"}


def test_lock_stays_until_an_operator_clears_it_when_the_mode_is_admin(make_world: MakeWorld) -> None:
    world = make_world(lockout={"mode": "admin"})
    browser, page = at_sign_in(world)
    for number in range(10):
        page = browser.sign_in("claire.dubois", f"{WRONG}{number}", page=page)
    world.clock.advance(timedelta(days=3))
    browser, page = at_sign_in(world)
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.status == 429
    assert world.last_event("signin.refused")["details"] == {"throttle": "locked_until_admin"}
    with world.arranging() as tx:
        world.application.signin.throttle.unblock(tx, world.account("claire").id, Author("operator:test", Origin("0123456789", "local")))
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None


def test_twenty_threads_cannot_outrun_the_throttle(make_world: MakeWorld) -> None:
    world = make_world(server={"threads": 20})
    pages = [at_sign_in(world) for _ in range(20)]
    counted = hashes(world)

    def guess(place: tuple[Any, Page], number: int) -> int:
        browser, page = place
        return int(browser.sign_in("claire.dubois", f"{WRONG}{number}", page=page).status)

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(guess, pages, range(20)))
    assert hashes(world) - counted <= 5
    assert set(statuses) <= {403, 429}
    assert statuses.count(403) == hashes(world) - counted


@pytest.mark.sqlite
def test_sign_in_is_refused_plainly_when_the_counters_cannot_be_kept(world: World) -> None:
    browser, page = at_sign_in(world)
    before, counted = issued(world), hashes(world)
    world.application.ephemeral._connection.execute("DROP TABLE counters")
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.status == 503
    assert page.headers["Retry-After"]
    assert page.support_code
    assert issued(world) == before
    assert hashes(world) == counted


def test_hash_is_renewed_when_it_was_made_with_weaker_parameters(world: World) -> None:
    weak = PasswordHasher(world.clock, concurrency=1, memory_kib=8_192, iterations=1).hash(PASSWORD)
    account = world.account("claire")
    with world.arranging() as tx:
        tx.people.rehash_password(account.id, tx.people.password(account.id).hash, weak)  # type: ignore[union-attr]
    browser, page = at_sign_in(world)
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None
    with world.database.read() as tx:
        password = tx.people.password(account.id)
    assert password is not None
    assert password.hash != weak
    assert not world.application.hasher.needs_rehash(password.hash)
    assert password.previous == ()


def test_demonstration_account_is_refused_when_the_issuer_is_not_this_machine(world: World) -> None:
    with world.arranging() as tx:
        tx.connection.execute(update(accounts).where(accounts.c.username == "claire.dubois").values(is_demo=True))
    browser, page = at_sign_in(world)
    before, counted = issued(world), hashes(world)
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.status == 403
    assert refusal(world, page, before)["reason"] == "demo_account"
    assert hashes(world) - counted == 1


def test_demonstration_account_signs_in_when_the_issuer_is_this_machine(make_world: MakeWorld) -> None:
    world = make_world(issuer="http://127.0.0.1:8400", demo=True)
    with world.arranging() as tx:
        tx.connection.execute(update(accounts).where(accounts.c.username == "claire.dubois").values(is_demo=True))
    browser, page = at_sign_in(world)
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None
    assert browser.cookie("vestibule-session") is not None


def test_identifier_shared_by_a_username_and_a_number_names_nobody(world: World) -> None:
    with world.arranging() as tx:
        tx.connection.execute(
            identifiers.insert().values(
                value="claire.dubois", scope=world.establishment("glycines").id, kind="number", account_id=world.account("karim").id
            )
        )
    browser, page = at_sign_in(world)
    before = issued(world)
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert refusal(world, page, before)["reason"] == "ambiguous_identifier"
