"""Who guesses at passwords, from anywhere, may not shut their owners out, nor outrun what is counted. Real directories, real browsers' requests."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import pytest

from connectors.base import CredentialsRefused, Exposure
from idp.audit import Origin
from idp.signin.bind_gate import Bearer, BindGate, BindGates
from policies.lockout import DIRECTORY_NEAR_ITS_LOCK, Standing
from tests.conftest import MakeWorld
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.fixed_clock import FixedClock
from tests.support.slapd import PASSWORD, READABLE, Slapd
from tests.support.world import World

STORM = 1_000 if "SOAK_MINUTES" in os.environ else 100  # `make soak` has the whole thousand
WRONG = "Sans-Doute-47-Faux"
MINUTE = timedelta(minutes=1)
SOMEWHERE_ELSE = "203.0.113.20"
NAMES = ("d.claire", "d.claire@annuaire.example", "70001")


@pytest.fixture
def homes(make_world: MakeWorld, slapd: Slapd) -> World:
    """The world's two homes, their people in a directory that locks after five wrong passwords and never forgets one by itself."""
    slapd.set_policy(pwdMaxFailure="5")
    return make_world(directories=[slapd.settings()])


def attempt(world: World, identifier: str, password: str, *, browser: Browser | None = None, address: str = "127.0.0.1") -> Page:
    browser = browser or world.browser(address=address)
    return browser.sign_in(identifier, password, page=browser.get(world.relying_party().begin()))


def is_in(page: Page) -> bool:
    """Whether the password was taken: the person is back at the application, or is asked for more than a password."""
    return page.callback is not None or "signin-form" not in page.forms


def known_device(world: World, identifier: str, password: str) -> Browser:
    """A browser in which somebody has signed in at work, taken home since."""
    browser = world.browser()
    assert attempt(world, identifier, password, browser=browser).callback is not None
    return moved(world, browser, SOMEWHERE_ELSE)


def moved(world: World, browser: Browser, address: str) -> Browser:
    """The same browser elsewhere, its session over."""
    there = world.browser(address=address)
    there.jar = {key: cookie for key, cookie in browser.jar.items() if "session" not in cookie.name}
    return there


def storm(world: World, names: tuple[str, ...], *, tries: int, each: timedelta) -> Counter[int]:
    """Wrong passwords without end from outside, each another one, from ever new addresses."""
    statuses: Counter[int] = Counter()
    for turn in range(tries // 10):
        browser = world.browser(address=f"198.51.{100 + turn // 250}.{turn % 250 + 1}")
        page = browser.get(world.relying_party().begin())
        for number in range(10 * turn, 10 * turn + 10):
            page = browser.sign_in(names[number % len(names)], f"{WRONG}{number}", page=page)
            statuses[page.status] += 1
            world.clock.advance(each)
    return statuses


def failures(slapd: Slapd, uid: str) -> int:
    return len(slapd.values(uid, "pwdFailureTime"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_storm_of_wrong_passwords_from_outside_lock_nobody_of_a_directory_out(homes: World, slapd: Slapd) -> None:
    device = known_device(homes, "d.claire", PASSWORD)
    statuses = storm(homes, NAMES, tries=STORM, each=timedelta(minutes=2))
    assert set(statuses) == {403, 429}
    assert failures(slapd, "d.claire") == 2
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []
    homes.clock.advance(timedelta(days=1))
    assert not is_in(attempt(homes, "d.claire", PASSWORD, address=OUTSIDE)), "outside is closed, whatever the password"
    assert homes.last_event("signin.refused")["details"]["throttle"] == "outside_budget_spent"
    assert is_in(attempt(homes, "d.claire", PASSWORD, browser=device))
    storm(homes, NAMES, tries=40, each=timedelta(minutes=2))
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []
    assert attempt(homes, "d.claire", PASSWORD).callback is not None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_storm_of_wrong_passwords_from_outside_close_no_local_account_to_who_is_near(world: World) -> None:
    device = known_device(world, "claire.dubois", LOCAL_PASSWORD)
    names = ("claire.dubois", "claire.dubois@tilleuls.example")
    statuses = storm(world, names, tries=STORM, each=timedelta(seconds=80))
    assert set(statuses) == {403, 429}
    assert 5 < sum(event["reason"] == "wrong_password" for event in world.events("signin.refused")) <= 15, "three fifths of a day's tries"
    assert attempt(world, "claire.dubois", LOCAL_PASSWORD).callback is not None
    assert is_in(attempt(world, "claire.dubois", LOCAL_PASSWORD, browser=device))


@pytest.mark.parametrize(("threshold", "outside", "near"), [("5", 2, 4), ("3", 1, 2), ("2", 0, 1), ("10", 7, 9)])
def test_each_side_stops_below_the_lock_of_the_directory(
    make_world: MakeWorld, slapd: Slapd, threshold: str, outside: int, near: int
) -> None:
    slapd.set_policy(pwdMaxFailure=threshold)
    world = make_world(directories=[slapd.settings()], lockout={"free_tries": 10, "daily_cap": 100, "directory_threshold": 100})
    for number in range(12):
        attempt(world, "d.claire", f"{WRONG}{number}", address=f"198.51.100.{number + 1}")
    assert failures(slapd, "d.claire") == outside
    for number in range(12, 24):
        attempt(world, "d.claire", f"{WRONG}{number}")
    assert failures(slapd, "d.claire") == near
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []
    assert attempt(world, "d.claire", PASSWORD).status == 429
    assert world.last_event("signin.refused")["details"] == {"throttle": "directory_near_its_lock"}


def test_failures_seen_elsewhere_leave_so_much_less(homes: World, slapd: Slapd) -> None:
    for _ in range(3):
        assert not slapd.can_bind(slapd.dn("d.claire"), "at-another-application")
    assert not is_in(attempt(homes, "d.claire", PASSWORD, address=OUTSIDE))
    assert failures(slapd, "d.claire") == 3, "no bind was made"
    assert attempt(homes, "d.claire", f"{WRONG}1").status == 403
    assert attempt(homes, "d.claire", f"{WRONG}2").status == 429
    assert failures(slapd, "d.claire") == 4
    assert slapd.can_bind(slapd.dn("d.claire"), PASSWORD)
    assert is_in(attempt(homes, "d.claire", PASSWORD, address=OUTSIDE)), "a success elsewhere gives the tries back"


def test_a_lock_made_elsewhere_may_be_waited_out_at_work(make_world: MakeWorld, slapd: Slapd) -> None:
    slapd.set_policy(pwdMaxFailure="3", pwdLockoutDuration="1")
    world = make_world(directories=[slapd.settings()])
    slapd.lock("d.claire")
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    while datetime.now(UTC) < deadline:
        pass
    assert not is_in(attempt(world, "d.claire", PASSWORD, address=OUTSIDE))
    assert attempt(world, "d.claire", PASSWORD).callback is not None


@pytest.fixture(scope="module")
def silent_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """A directory that does not let the service account see wrong passwords."""
    shown = [name for name in READABLE.split(",") if name != "pwdFailureTime"]
    server = Slapd(tmp_path_factory.mktemp("silent-slapd"), readable=",".join(shown))
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("shows_policy", [True, False])
def test_a_directory_that_shows_no_failures_is_spared_all_the_same(make_world: MakeWorld, silent_slapd: Slapd, shows_policy: bool) -> None:
    silent_slapd.reset()
    silent_slapd.set_policy(pwdMaxFailure="5")
    settings = silent_slapd.settings() if shows_policy else silent_slapd.settings(password_policy=None)
    world = make_world(directories=[settings])
    for number in range(8):
        attempt(world, "d.claire", f"{WRONG}{number}", address=f"198.51.100.{number + 1}")
        world.clock.advance(timedelta(hours=3))
    assert failures(silent_slapd, "d.claire") == 2
    for number in range(8, 16):
        attempt(world, "d.claire", f"{WRONG}{number}")
        world.clock.advance(timedelta(hours=3))
    assert failures(silent_slapd, "d.claire") == 4
    assert silent_slapd.values("d.claire", "pwdAccountLockedTime") == []


def test_failures_that_a_directory_forgets_after_a_time_come_back_then(make_world: MakeWorld, slapd: Slapd) -> None:
    """On the real time, which the directory goes by."""
    slapd.set_policy(pwdMaxFailure="5", pwdFailureCountInterval="1800")
    world = make_world(directories=[slapd.settings()])
    clock = world.clock = FixedClock(datetime.now(UTC))
    for number in range(3):
        attempt(world, "d.claire", f"{WRONG}{number}", address=f"198.51.100.{number + 1}")
    assert failures(slapd, "d.claire") == 2
    for number in range(3, 6):
        attempt(world, "d.claire", f"{WRONG}{number}")
    assert failures(slapd, "d.claire") == 4
    page = attempt(world, "d.claire", PASSWORD)
    assert page.status == 429
    assert 25 * 60 < int(page.headers["Retry-After"]) <= 33 * 60  # the directory's clock went on meanwhile, ours stood
    clock.advance(timedelta(minutes=34))
    assert attempt(world, "d.claire", PASSWORD).callback is not None


def test_twenty_at_once_do_not_outrun_what_the_directory_leaves(make_world: MakeWorld, slapd: Slapd) -> None:
    slapd.set_policy(pwdMaxFailure="5")
    world = make_world(
        directories=[slapd.settings(concurrency=20)],
        server={"threads": 20},
        lockout={"free_tries": 10, "daily_cap": 100, "directory_threshold": 100},
    )
    browsers = [world.browser(address=OUTSIDE if number % 2 else "127.0.0.1") for number in range(20)]
    pages = [browser.get(world.relying_party().begin()) for browser in browsers]
    names = [NAMES[number % len(NAMES)] for number in range(20)]

    def guess(number: int) -> int:
        return int(browsers[number].sign_in(names[number], f"{WRONG}{number}", page=pages[number]).status)

    with ThreadPoolExecutor(20) as pool:
        statuses = Counter(pool.map(guess, range(20)))
    assert set(statuses) <= {403, 429, 503}
    assert 1 <= failures(slapd, "d.claire") <= 4
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []


def test_a_try_that_ends_while_the_directory_is_read_for_another_is_not_overlooked(world: World) -> None:
    """The reading is older than the failure, and its slot is free by the time it is looked at: one of the two must show it."""
    signin, counted = world.application.signin, [3]  # of five; the fourth is the last that may be tried
    gates = BindGates(signin.throttle, world.application.ephemeral, world.clock, settings=world.config.lockout)

    def passage(password: str, look: Callable[[], Exposure]) -> tuple[BindGate, AbstractContextManager[bool]]:
        keys = signin.throttle.keys("d.claire", None, Origin("0123456789", "127.0.0.1"), standing=Standing.INSIDE)
        gate = gates.open(Bearer(keys=keys, identifier="d.claire", password=password))
        return gate, gate.passage("annuaire", "claire", seen=now(), look=look)

    def now() -> Exposure:
        return Exposure(threshold=5, failures=counted[0], mark="the same")

    def read_while_the_first_ends() -> Exposure:
        before = now()
        if counted == [3]:
            counted[0] += 1
            first.__exit__(CredentialsRefused, CredentialsRefused("wrong"), None)
        return before

    _, first = passage(f"{WRONG}1", now)
    assert first.__enter__()
    gate, second = passage(f"{WRONG}2", read_while_the_first_ends)
    with second as is_let:
        assert not is_let
    assert (counted, gate.held["annuaire"].reason) == ([4], DIRECTORY_NEAR_ITS_LOCK)


# Whoever is named, nothing shows


def test_outside_a_name_of_the_directory_reads_like_one_that_nobody_has(homes: World) -> None:
    answers = []
    for name in ("d.claire", "zz.nemo", "claire.dubois"):
        pages = [attempt(homes, name, f"{WRONG}{number}", address=OUTSIDE) for number in range(4)]
        homes.clock.advance(2 * MINUTE)
        pages += [attempt(homes, name, f"{WRONG}{number}", address=OUTSIDE) for number in range(4, 7)]
        answers.append([(page.status, readable(page, name)) for page in pages])
    assert answers[0] == answers[1] == answers[2]
    assert [status for status, _ in answers[0]] == [403, 403, 429, 429, 403, 429, 429]


def readable(page: Page, name: str) -> str:
    code = page.support_code or "-"
    return page.text.replace(name, "").replace(code, "").replace(code[:5], "").replace(code[-5:], "")


def test_outside_other_names_of_one_person_do_not_show_that_they_are(homes: World, slapd: Slapd) -> None:
    for number in range(2):
        attempt(homes, "d.claire", f"{WRONG}{number}", address=OUTSIDE)
    there = attempt(homes, "d.claire@annuaire.example", PASSWORD, address=OUTSIDE)
    nobody = attempt(homes, "d.nemo@annuaire.example", PASSWORD, address=OUTSIDE)
    assert there.status == nobody.status == 403
    assert readable(there, "d.claire@annuaire.example") == readable(nobody, "d.nemo@annuaire.example")
    assert failures(slapd, "d.claire") == 2


def test_somebody_elses_known_device_is_nobodys(homes: World, slapd: Slapd) -> None:
    device = known_device(homes, "d.zoe@annuaire.example", PASSWORD)
    for number in range(6):
        attempt(homes, "d.claire", f"{WRONG}{number}", browser=device)
        homes.clock.advance(timedelta(hours=1))
    assert failures(slapd, "d.claire") == 2


# The same wrong password


def test_the_same_wrong_password_counts_once(homes: World, slapd: Slapd) -> None:
    for _ in range(6):
        page = attempt(homes, "d.claire", WRONG)
        assert page.status == 403
    assert failures(slapd, "d.claire") == 1
    assert homes.last_event("signin.refused")["details"] == {"repeated": True}
    assert homes.last_event("signin.refused")["reason"] == "wrong_password"
    homes.clock.advance(timedelta(minutes=10, seconds=1))
    attempt(homes, "d.claire", WRONG)
    assert failures(slapd, "d.claire") == 2


@pytest.mark.parametrize("name", ["claire.dubois", "zz.nemo", "d.claire"])
def test_the_same_wrong_password_makes_nobody_wait(homes: World, name: str) -> None:
    assert [attempt(homes, name, WRONG).status for _ in range(8)] == [403] * 8
    assert attempt(homes, "claire.dubois", LOCAL_PASSWORD).callback is not None


def test_a_wrong_password_is_forgotten_when_it_becomes_the_right_one(homes: World, slapd: Slapd) -> None:
    assert attempt(homes, "d.claire", WRONG).status == 403
    slapd.change_password("d.claire", WRONG)
    page = attempt(homes, "d.claire", WRONG)
    assert "password-form" in page.forms, "it is right, and was set by somebody else"
    assert failures(slapd, "d.claire") == 0


def test_a_wrong_local_password_is_forgotten_when_it_becomes_the_right_one(world: World) -> None:
    assert attempt(world, "claire.dubois", WRONG).status == 403
    with world.arranging() as tx:
        tx.people.set_password(world.account("claire").id, world.application.hasher.hash(WRONG), must_change=False, now=world.clock.now())
    assert attempt(world, "claire.dubois", WRONG).callback is not None


def test_a_wrong_password_is_kept_nowhere(world: World) -> None:
    attempt(world, "claire.dubois", WRONG)
    content = b"".join(path.read_bytes() for path in world.folder.iterdir() if path.is_file())
    assert WRONG.encode() not in content


def test_what_another_has_typed_does_not_show(world: World) -> None:
    """The page says how many tries are left: for a stranger every password is a new one, whatever its owner mistyped a minute ago."""
    other = attempt(world, "claire.dubois", "Vieux-Mot-De-Passe-12", address="198.51.100.9")
    first = attempt(world, "claire.dubois", "Vieux-Mot-De-Passe-12", address=OUTSIDE)
    second = attempt(world, "claire.dubois", "Tout-A-Fait-Autre-34", address=OUTSIDE)
    left = [page.text.split("Il vous reste")[1][:4] for page in (other, first, second)]
    assert len(set(left)) == 3


# Spraying


def test_an_address_that_tries_many_names_waits_and_is_told_once(world: World) -> None:
    statuses = [attempt(world, f"personne.{number}", f"{WRONG}{number}", address=OUTSIDE).status for number in range(14)]
    assert statuses == [403] * 10 + [429] * 4
    (event,) = world.events("signin.spraying")
    assert event["details"] == {"scope": "address", "names": 10, "slowed": True}
    assert event["address"] == OUTSIDE
    page = attempt(world, "claire.dubois", LOCAL_PASSWORD, address=OUTSIDE)
    assert page.status == 429
    assert int(page.headers["Retry-After"]) <= 900
    assert world.last_event("signin.refused")["details"] == {"throttle": "address_waits"}
    assert is_in(attempt(world, "claire.dubois", LOCAL_PASSWORD, address=SOMEWHERE_ELSE))
    world.clock.advance(timedelta(minutes=15, seconds=1))
    assert is_in(attempt(world, "claire.dubois", LOCAL_PASSWORD, address=OUTSIDE))
    assert b'vestibule_spraying_total{scope="address"} 1.0' in world.application.metrics.render()


def test_a_known_device_behind_an_address_that_waits_does_not(world: World) -> None:
    device = known_device(world, "claire.dubois", LOCAL_PASSWORD)
    for number in range(14):
        attempt(world, f"personne.{number}", f"{WRONG}{number}", address=SOMEWHERE_ELSE)
    assert attempt(world, "claire.dubois", LOCAL_PASSWORD, address=SOMEWHERE_ELSE).status == 429
    assert is_in(attempt(world, "claire.dubois", LOCAL_PASSWORD, browser=device))


def test_a_household_is_one_address_in_ipv6(world: World) -> None:
    statuses = [attempt(world, f"personne.{n}", f"{WRONG}{n}", address=f"2001:db8:1:2::{n + 1:x}").status for n in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert attempt(world, "personne.20", WRONG, address="2001:db8:1:3::1").status == 403


def test_a_home_behind_one_address_is_not_shut_out(make_world: MakeWorld) -> None:
    world = make_world(lockout={"spraying_names": 3})
    statuses = [attempt(world, f"personne.{number}", f"{WRONG}{number}").status for number in range(63)]
    assert set(statuses) == {403}
    (event,) = world.events("signin.spraying")
    assert event["details"] == {"scope": "address", "names": 60, "slowed": False}
    assert attempt(world, "claire.dubois", LOCAL_PASSWORD).callback is not None


def test_people_who_all_sign_in_at_once_at_one_address_are_no_spraying(make_world: MakeWorld) -> None:
    world = make_world(server={"threads": 20}, lockout={"spraying_names": 3})
    names = ("claire.dubois", "amina.benali", "hugo.lefevre", "karim.haddad", "rose.marchand", "nora.blanc", "tom.petit", "lea.moreau")
    browsers = [world.browser(address=OUTSIDE) for _ in names]
    pages = [browser.get(world.relying_party().begin()) for browser in browsers]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: one[0].sign_in(one[1], LOCAL_PASSWORD, page=one[2]), zip(browsers, names, pages, strict=True)))
    assert all(is_in(page) for page in answers)
    assert world.events("signin.spraying") == []


def test_people_who_mistype_at_one_address_are_no_spraying_while_most_get_in(make_world: MakeWorld) -> None:
    world = make_world(lockout={"spraying_names": 3})
    for name in ("claire.dubois", "claire.dubois@tilleuls.example"):
        assert is_in(attempt(world, name, LOCAL_PASSWORD, address=OUTSIDE))
    statuses = [attempt(world, f"personne.{number}", f"{WRONG}{number}", address=OUTSIDE).status for number in range(5)]
    assert statuses == [403] * 5
    assert world.events("signin.spraying") == []


def test_many_addresses_together_leave_each_only_two_names(make_world: MakeWorld) -> None:
    world = make_world(lockout={"spraying_names_everywhere": 20})
    for number in range(22):
        attempt(world, f"personne.{number}", f"{WRONG}{number}", address=f"198.51.100.{number + 1}")
    (event,) = world.events("signin.spraying")
    assert event["details"]["scope"] == "everywhere"
    statuses = [attempt(world, f"autre.{number}", f"{WRONG}{number}", address=SOMEWHERE_ELSE).status for number in range(4)]
    assert statuses == [403, 403, 429, 429]
    assert is_in(attempt(world, "claire.dubois", LOCAL_PASSWORD, address="192.0.2.44")), "who has one name is not slowed"
    assert attempt(world, "claire.dubois", LOCAL_PASSWORD).callback is not None
