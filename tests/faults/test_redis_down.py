"""Redis that forgets, falls behind, stops, hangs or fails over: a lost Redis costs sign-ins in progress, and never a second use of anything.

Everything runs on real servers. What is stale is put back with DUMP and RESTORE: a replica that had not followed, once it is the master.
"""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from pydantic import ValidationError

from idp.clock import SystemClock
from idp.config import EphemeralSettings, redis_address
from idp.errors import StoreUnavailable
from idp.store.ephemeral import open_ephemeral
from idp.store.redis import RedisEphemeral
from tests.conftest import MakeWorld
from tests.faults.test_stores_down import assert_down
from tests.support.browser import Page
from tests.support.cast import OUTSIDE
from tests.support.certificates import PrivateAuthority
from tests.support.html import Form
from tests.support.processes import free_port, wait_until
from tests.support.redis import RedisServer, redis_serving, sentinels_serving
from tests.support.second_factors import enrol_phone
from tests.support.world import World

MINUTE = timedelta(minutes=1)
RIGHTS = "~vestibule:* -@all +@read +@write +@scripting +@connection -@dangerous +config|get"  # docs/run-on-several-hosts.md
SECRET = "un-mot-de-passe:avec/des@signes"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, which it may hurt."""
    with redis_serving(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def world(make_world: MakeWorld, server: RedisServer) -> World:
    """A Vestibule on it."""
    return make_world(ephemeral={"url": server.url, "timeout": "2s"})


def opened(server: RedisServer, **settings: object) -> RedisEphemeral:
    store = open_ephemeral(EphemeralSettings.model_validate({"url": server.url, **settings}), SystemClock(), connections=4)
    assert isinstance(store, RedisEphemeral)
    return store


def finished(world: World) -> int:
    """How many sign-ins were carried through: codes given."""
    return len(world.events("authorization.granted"))


def form_to(page: Page, end: str) -> Form:
    """The form of a page whose address ends so."""
    return next(form for form in page.document.forms if form.action.endswith(end))


# Forgotten


def test_a_sign_in_begins_again_when_redis_forgot_it_between_two_pages(world: World, server: RedisServer) -> None:
    browser, party = world.browser(), world.relying_party("carnet")
    page = browser.get(party.begin())
    server.empty()
    lost = browser.sign_in(world.person("claire").username, world.password, page=page)
    assert lost.callback is None
    assert lost.status == 410
    assert lost.support_code is not None
    assert finished(world) == 0
    with world.database.read() as tx:
        assert tx.sessions.open_of(world.account("claire").id) == ()
    assert world.sign_in("claire", "carnet", browser=browser).tokens.access


def test_nothing_is_half_issued_when_redis_forgets_between_the_proof_and_the_end(world: World, server: RedisServer) -> None:
    browser, party = world.browser(), world.relying_party("carnet")
    waiting = browser.sign_in(world.person("amina").username, world.password, page=browser.get(party.begin()))
    assert "establishment-form" in waiting.forms
    server.empty()
    lost = browser.submit("establishment-form", page=waiting, button="tilleuls")
    assert (lost.callback, lost.status) == (None, 410)
    assert finished(world) == 0
    assert world.events("session.opened") == []


def test_signed_in_people_go_on_when_redis_forgot_everything(world: World, server: RedisServer) -> None:
    signed_in = world.sign_in("claire", "tablette")
    server.empty()
    assert signed_in.party.userinfo(signed_in.tokens.access).status_code == 200
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200
    assert signed_in.browser.get("/account").status == 200
    assert signed_in.browser.get(world.relying_party("carnet").begin()).callback is not None


def test_codes_refresh_tokens_and_assertions_stay_used_when_redis_forgot_everything(world: World, server: RedisServer) -> None:
    browser, party = world.browser(), world.relying_party("tablette")
    callback = browser.sign_in(world.person("claire").username, world.password, page=browser.get(party.begin())).callback
    assert callback is not None
    tokens = party.exchange(callback)
    assert party.refresh(tokens.refresh).status_code == 200
    server.empty()
    assert party.refresh(tokens.refresh).json()["error"] == "invalid_grant"
    assert party.redeem(callback["code"]).json()["error"] == "invalid_grant"
    assert world.last_event("token.refused")["reason"] in {"code_replayed", "grant_not_alive"}


# Fallen behind


def test_a_finished_sign_in_is_not_finished_again_when_redis_is_as_it_was_before_its_end(world: World, server: RedisServer) -> None:
    browser, party = world.browser(), world.relying_party("curieux")
    waiting = browser.sign_in(world.person("claire").username, world.password, page=browser.get(party.begin()))
    assert waiting.callback is None
    before = server.remembered()
    assert browser.submit("consent-form", page=waiting).callback is not None
    assert finished(world) == 1
    server.put_back(before)
    again = browser.submit("consent-form", page=waiting)
    assert again.callback is None, "one proof of the person gave two codes"
    assert finished(world) == 1
    assert len(world.events("session.opened")) == 1


def test_a_finished_sign_in_to_our_own_page_is_not_finished_again_when_redis_is_stale(world: World, server: RedisServer) -> None:
    browser = world.browser()
    page = browser.get("/account")
    response = browser.request(
        "POST",
        page.forms["signin-form"].action,
        data={**page.forms["signin-form"].fields, "identifier": world.person("claire").username, "password": world.password},
        headers={"Origin": world.issuer},
    )
    assert response.status_code == 303
    kept = server.remembered()
    assert browser.get(response.headers["Location"]).status == 200
    assert len(world.events("signin.succeeded")) == 1
    server.put_back(kept)
    browser.request("GET", response.headers["Location"])
    assert len(world.events("signin.succeeded")) == 1


def test_a_cancelled_sign_in_gives_no_code_when_redis_is_as_it_was_before(world: World, server: RedisServer) -> None:
    browser, party = world.browser(), world.relying_party("curieux")
    waiting = browser.sign_in(world.person("claire").username, world.password, page=browser.get(party.begin()))
    before = server.remembered()
    form = form_to(waiting, "/cancel")
    cancelled = browser.post(form.action, form.fields)
    assert cancelled.callback is not None
    assert cancelled.callback["error"] == "access_denied"
    server.put_back(before)
    assert browser.submit("consent-form", page=waiting).callback is None
    assert finished(world) == 0


def test_a_proof_left_half_way_opens_nothing_after_a_sign_out_when_redis_is_stale(world: World, server: RedisServer) -> None:
    browser = world.browser()
    world.sign_in("claire", "carnet", browser=browser)
    left_open = browser.get(world.relying_party("curieux").begin(prompt="login"))
    half_way = browser.sign_in(world.person("claire").username, world.password, page=left_open)
    assert "consent-form" in half_way.forms
    before = server.remembered()
    world.clock.advance(timedelta(seconds=1))
    form = form_to(browser.get("/account"), "/signout")
    assert browser.post(form.action, form.fields).status == 200
    server.put_back(before)
    assert browser.submit("consent-form", page=half_way).callback is None
    assert finished(world) == 1


# Stopped, restarted, hung


def test_redis_that_stops_is_a_clear_page_and_recovers_without_a_restart_of_ours(world: World, server: RedisServer) -> None:
    signed_in = world.sign_in("claire", "tablette")
    browser, party = world.browser(), world.relying_party("carnet")
    page = browser.get(party.begin())
    lines = len(world.events("signin"))
    server.kill()
    failed = browser.sign_in(world.person("rose").username, world.password, page=page)
    assert (failed.status, failed.callback) == (503, None)
    recorded = world.last_event("request.refused")
    assert (recorded["reason"], recorded["request_id"]) == ("store_unavailable", failed.support_code)
    assert_down(world.browser().request("GET", party.begin()))
    assert browser.request("GET", "/readyz").status_code == 503
    assert browser.request("GET", "/healthz").status_code == 200
    # What needs no page goes on: tokens, and people who are signed in.
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200
    assert signed_in.browser.get("/account").status == 200
    assert len(world.events("signin")) == lines
    assert finished(world) == 1
    server.start()
    assert browser.request("GET", "/readyz").status_code == 200
    assert world.sign_in("rose", "carnet", browser=world.browser()).tokens.access


def test_redis_that_hangs_keeps_nobody_longer_than_the_timeout(world: World, server: RedisServer) -> None:
    browser, party = world.browser(), world.relying_party("carnet")
    page = browser.get(party.begin())
    browser.get("/readyz")
    server.hang()
    try:
        began = monotonic()
        failed = browser.sign_in(world.person("claire").username, world.password, page=page)
        waited = monotonic() - began
    finally:
        server.wake()
    assert (failed.status, failed.callback) == (503, None)
    assert waited < 15, waited
    assert finished(world) == 0
    assert browser.request("GET", "/readyz").status_code == 200
    assert world.sign_in("claire", "carnet", browser=browser).tokens.access


def test_a_late_answer_is_never_taken_for_the_next_one(server: RedisServer) -> None:
    store = opened(server, timeout="1s")
    store.put("kind", "one", b"1", MINUTE)
    store.put("kind", "two", b"2", MINUTE)
    server.hang()
    try:
        with pytest.raises(StoreUnavailable):
            store.get("kind", "one")
    finally:
        server.wake()
    assert store.get("kind", "two") == b"2"
    store.close()


def test_a_throttled_person_stays_out_while_redis_is_away(world: World, server: RedisServer) -> None:
    browser, party = world.browser(), world.relying_party("carnet")
    page = browser.get(party.begin())
    server.kill()
    # The right password too: whether a try may be made cannot be known.
    assert browser.sign_in(world.person("claire").username, world.password, page=page).status == 503
    assert world.events("signin.succeeded") == []


def come(statuses: list[int], status: int) -> None:
    """Wait for three answers of a status from now on."""
    before = len(statuses)
    wait_until(lambda: statuses[before:].count(status) >= 3, seconds=60)


def test_a_second_factor_is_not_taken_and_not_burned_while_redis_is_away(world: World, server: RedisServer) -> None:
    """Tries cannot be counted then: a right code opens nothing, and serves when Redis is back."""
    phone = enrol_phone(world, world.application.signin.second_factors, "claire")
    browser, party = world.browser(address=OUTSIDE), world.relying_party("carnet")
    page = browser.sign_in(world.person("claire").username, world.password, page=browser.get(party.begin()))
    assert "factor-form" in page.forms
    server.kill()
    down = browser.submit("factor-form", page=page, code=phone.code(world.clock))
    assert (down.status, down.callback, down.support_code is not None) == (503, None, True)
    assert finished(world) == 0
    server.start()
    page = browser.sign_in(world.person("claire").username, world.password, page=browser.get(party.begin()))
    assert browser.submit("factor-form", page=page, code=phone.code(world.clock)).callback is not None


def test_redis_under_load_is_stopped_and_started_and_nothing_is_used_twice(world: World, server: RedisServer) -> None:
    statuses: list[int] = []
    over = threading.Event()

    def sign_in_again_and_again() -> None:
        party = world.relying_party("carnet")
        while not over.is_set():
            browser = world.browser()
            page = browser.get(party.begin())
            if page.status == 200 and "signin-form" in page.forms:
                page = browser.sign_in(world.person("claire").username, world.password, page=page)
            if page.callback is not None:
                again = page.callback["code"]
                statuses.append(party.redeem(again).status_code)
                assert party.redeem(again).status_code == 400
            else:
                statuses.append(page.status)

    threads = [threading.Thread(target=sign_in_again_and_again) for _ in range(3)]
    world.sign_in("claire", "carnet")
    for thread in threads:
        thread.start()
    for _ in range(3):
        come(statuses, 200)
        server.kill()
        come(statuses, 503)
        server.start()
    over.set()
    for thread in threads:
        thread.join(30)
    assert set(statuses) <= {200, 503, 410}, sorted(set(statuses))
    assert finished(world) == len(world.events("session.opened"))


# How it is reached


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache.example", ((("cache.example", 6379),), None, 0, None, None, False)),
        ("rediss://cache.example:6380/3", ((("cache.example", 6380),), None, 3, None, None, True)),
        ("redis://:s%40cret@[::1]:7000/", ((("::1", 7000),), None, 0, None, "s@cret", False)),
        ("redis://vestibule:a:b@127.0.0.1/1", ((("127.0.0.1", 6379),), None, 1, "vestibule", "a:b", False)),
        ("redis+sentinel://one,two:26380/main", ((("one", 26379), ("two", 26380)), "main", 0, None, None, False)),
        ("rediss+sentinel://u:p@one,two,three/main/2", ((("one", 26379), ("two", 26379), ("three", 26379)), "main", 2, "u", "p", True)),
    ],
)
def test_an_address_is_read(url: str, address: tuple[object, ...]) -> None:
    found = redis_address(url)
    assert (found.servers, found.master, found.database, found.username, found.password, found.uses_tls) == address


@pytest.mark.parametrize(
    "url",
    [
        "memcached://127.0.0.1",
        "redis://",
        "redis://:hush@",
        "redis://one,two/0",
        "redis://127.0.0.1/zero",
        "redis://127.0.0.1/0/1",
        "redis://127.0.0.1:hush/0",
        "rediss://127.0.0.1/0?ssl_cert_reqs=none",
        "redis+sentinel://one,two",
    ],
)
def test_a_wrong_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        EphemeralSettings(url=url)
    assert all("hush" not in str(error["msg"]) for error in refused.value.errors())


def test_two_deployments_share_one_server_by_their_prefixes(server: RedisServer) -> None:
    one, other = opened(server), opened(server, prefix="essai")
    one.put("kind", "key", b"1", MINUTE)
    assert other.get("kind", "key") is None
    other.put("kind", "key", b"2", MINUTE)
    assert one.take("kind", "key") == b"1"
    assert other.get("kind", "key") == b"2"
    one.close()
    other.close()


def test_the_store_forgets_nothing_when_its_scripts_are_flushed(server: RedisServer) -> None:
    store = opened(server)
    assert store.count("kind", "key", MINUTE) == 1
    with server.client() as client:
        client.script_flush()
    assert store.count("kind", "key", MINUTE) == 2
    store.close()


def test_redis_forgets_by_itself_what_nobody_asks_for_again(server: RedisServer) -> None:
    store = opened(server)
    store.put("kind", "value", b"1", MINUTE)
    store.add("kind", "added", b"1", MINUTE)
    store.touch("kind", "added", MINUTE)
    store.count("kind", "counter", MINUTE)
    store.count("kind", "counter", MINUTE)
    store.uncount("kind", "counter")
    with server.client() as client:
        lives = [client.pttl(key) for key in client.keys("vestibule:*")]  # type: ignore[misc]
    assert len(lives) == 3
    assert all(60_000 < life <= 660_000 for life in lives), lives
    store.close()


def test_a_full_or_read_only_server_is_not_ready(server: RedisServer) -> None:
    store = opened(server)
    store.ping()
    with server.client() as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            store.ping()
        client.config_set("maxmemory", "0")
        client.replicaof("127.0.0.1", str(free_port()))
        with pytest.raises(StoreUnavailable):
            store.ping()
        client.replicaof("NO", "ONE")
    store.ping()
    store.close()


def test_an_operator_is_warned_of_a_server_that_evicts(server: RedisServer) -> None:
    store = opened(server)
    assert store.warnings() == ()
    with server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    (warning,) = store.warnings()
    assert "allkeys-lru" in warning
    server.kill()
    assert store.warnings() == ()
    store.close()


def test_a_password_is_asked_and_never_told(tmp_path: Path) -> None:
    with redis_serving(tmp_path / "redis", "aclfile " + str(_acl(tmp_path))) as server:
        with pytest.raises(StoreUnavailable) as unknown:
            opened(server).ping()
        assert SECRET not in str(unknown.value)
        (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
        (tmp_path / "wrong").write_text("un-autre", encoding="utf-8")
        store = opened(server, username="vestibule", password=f"file:{tmp_path / 'secret'}")
        use_everything(store)
        with pytest.raises(StoreUnavailable):
            opened(server, username="vestibule", password=f"file:{tmp_path / 'wrong'}").ping()
        (tmp_path / "url").write_text(f"redis://vestibule:un-mot-de-passe:avec%2Fdes%40signes@127.0.0.1:{server.port}/0", encoding="utf-8")
        whole = opened(server, url=f"file:{tmp_path / 'url'}")
        whole.ping()
        whole.close()


def use_everything(store: RedisEphemeral) -> None:
    """Every method, and close."""
    store.ping()
    assert store.add("kind", "key", b"1", MINUTE)
    store.put("kind", "key", b"2", MINUTE)
    assert store.touch("kind", "key", MINUTE)
    assert store.get("kind", "key") == store.take("kind", "key") == b"2"
    assert store.count("kind", "key", MINUTE) == store.peek("kind", "key") == 1
    store.uncount("kind", "key")
    store.forget("kind", "key")
    assert store.sweep() == 0
    assert store.warnings() == ()
    store.close()


def _acl(folder: Path) -> Path:
    # The default user stays for the fixture's own ping, with a right to nothing else.
    path = folder / "users.acl"
    path.write_text(f"user default on nopass -@all +ping +info\nuser vestibule on >{SECRET} {RIGHTS}\n", encoding="utf-8")
    return path


def test_tls_is_verified(tmp_path: Path) -> None:
    authority, stranger = PrivateAuthority(tmp_path / "ca"), PrivateAuthority(tmp_path / "stranger")
    for made, ca_file, is_good in (
        (authority.sign("good"), authority.ca_file, True),
        (authority.sign_expired(), authority.ca_file, False),
        (authority.sign_for_another(), authority.ca_file, False),
        (stranger.sign("unknown"), authority.ca_file, False),
    ):
        port = free_port()
        options = (
            f"tls-port {port}",
            f"tls-cert-file {made.certificate}",
            f"tls-key-file {made.key}",
            f"tls-ca-cert-file {authority.ca_file}",
            "tls-auth-clients no",
        )
        with redis_serving(tmp_path / made.certificate.stem, *options) as server:
            store = opened(server, url=f"rediss://127.0.0.1:{port}/0", ca_file=str(ca_file))
            if is_good:
                store.ping()
            else:
                with pytest.raises(StoreUnavailable, match="certificate verify failed"):
                    store.ping()
            store.close()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["killed", "hung"])
def test_the_store_answers_again_by_itself_when_sentinels_chose_another_master(tmp_path: Path, how: str) -> None:
    with sentinels_serving(tmp_path / "sentinels") as servers:
        settings = EphemeralSettings(url=servers.url, timeout=timedelta(milliseconds=500))
        store = open_ephemeral(settings, SystemClock(), connections=4)
        store.put("kind", "key", b"1", MINUTE)
        assert store.add("kind", "once", b"1", MINUTE) is True
        with servers.master.client() as client:
            assert client.wait(1, 5000) == 1
        began = monotonic()
        servers.master.kill() if how == "killed" else servers.master.hang()
        slowest = 0.0
        while True:
            asked = monotonic()
            try:
                found = store.get("kind", "key")
                store.put("kind", "another", b"2", MINUTE)
                break
            except StoreUnavailable:
                slowest = max(slowest, monotonic() - asked)
                assert monotonic() - began < 90, "the store never came back"
        away = monotonic() - began
        print(f"failover ({how}): away for {away:.1f} s; the slowest refusal took {slowest:.2f} s")
        assert found == b"1"
        assert store.add("kind", "once", b"2", MINUTE) is False
        assert servers.present_master() == servers.replica.port
        assert slowest < 15
        store.close()
