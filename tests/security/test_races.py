"""One-time things under twenty threads: a code, a refresh token, a client assertion, an interaction. One wins, whatever the order.

RFC 6749 section 4.1.2 and 10.5, RFC 9700 sections 4.2.4 and 4.14.2, RFC 7523 section 3 (jti), OpenID Connect Core section 9.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import func, select

from idp import registry
from idp.audit import Author, Origin, Reason
from idp.crypto import digest
from idp.endings import Cause, end_session
from idp.errors import Refused
from idp.oauth import keys
from idp.people import accounts
from idp.signin.local import CONNECTOR
from idp.signin.password_change import NewPassword, PasswordRefused
from idp.store.base import Grant
from idp.store.tables import codes, grants, refresh_tokens
from tests.conftest import MakeWorld
from tests.support.browser import Browser
from tests.support.relying_party import ASSERTION_TYPE, RelyingParty
from tests.support.world import World, open_database

pytestmark = pytest.mark.slow

THREADS = 20
ROUNDS = 50
BETWEEN = timedelta(seconds=10)  # more than eight authorizations a minute of one browser would look like a loop
ORIGIN = Origin(request_id="0123456789", address="127.0.0.1")
OPERATOR = Author("operator:essai", ORIGIN)
T = TypeVar("T")
Race = Callable[[Callable[[], T]], list[T]]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A Vestibule that serves so many at once."""
    return make_world(server={"threads": THREADS})


@pytest.fixture
def race() -> Iterator[Race[Any]]:
    """Let twenty threads do the same thing at the same instant; what each got."""
    barrier = threading.Barrier(THREADS, timeout=60)

    with ThreadPoolExecutor(THREADS) as pool:

        def run(act: Callable[[], T]) -> list[T]:
            def begin(_: int) -> T:
                barrier.wait()
                return act()

            return list(pool.map(begin, range(THREADS)))

        yield run


@pytest.fixture
def duel() -> Iterator[Callable[..., list[Any]]]:
    """Let different things happen at the same instant, one thread each; what each gave."""
    with ThreadPoolExecutor(8) as pool:

        def run(*acts: Callable[[], Any]) -> list[Any]:
            barrier = threading.Barrier(len(acts), timeout=60)

            def begin(act: Callable[[], Any]) -> Any:
                barrier.wait()
                return act()

            return list(pool.map(begin, acts))

        yield run


def fresh_code(world: World, browser: Browser, party: RelyingParty, **parameters: str) -> str:
    """A code for whoever is signed in to the browser."""
    world.clock.advance(BETWEEN)
    page = browser.get(party.begin(scope="openid profile", **parameters))
    assert page.callback is not None, page
    return page.callback["code"]


def grant_of(world: World, refresh_token: str) -> Grant:
    """The Grant behind a refresh token."""
    with world.database.read() as tx:
        row = tx.grants.refresh(digest(refresh_token))
        assert row is not None
        grant = tx.grants.get(row.grant_id)
    assert grant is not None
    return grant


def count_refresh_tokens(world: World, grant: Grant) -> int:
    """How many refresh tokens a Grant has ever had."""
    with world.database.read() as tx:
        query = select(func.count()).select_from(refresh_tokens).where(refresh_tokens.c.grant_id == grant.id)
        return tx.connection.execute(query).scalar_one()


def of_grant(world: World, grant: Grant) -> Counter[tuple[str, str | None]]:
    """How many audit lines of each (type, reason) name the Grant."""
    return Counter((line["type"], line["reason"]) for line in world.events() if line["grant_id"] == grant.id)


def assert_dead(party: RelyingParty, answer: dict[str, Any]) -> None:
    """Nothing of an answer is worth anything any more."""
    assert party.introspect(answer["access_token"]).json() == {"active": False}
    assert party.introspect(answer["refresh_token"]).json() == {"active": False}
    assert party.userinfo(answer["access_token"]).status_code == 401
    refused = party.refresh(answer["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_one_thread_gets_tokens_and_the_grant_ends_when_twenty_redeem_one_code(world: World, race: Race[httpx.Response]) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party = signed_in.party
    for _ in range(ROUNDS):
        code = fresh_code(world, signed_in.browser, party)
        responses = race(partial(party.redeem, code))
        assert Counter(response.status_code for response in responses) == {200: 1, 400: THREADS - 1}
        assert {response.json()["error"] for response in responses if response.status_code == 400} == {"invalid_grant"}
        answer = next(response for response in responses if response.status_code == 200).json()
        grant = grant_of(world, answer["refresh_token"])
        assert (grant.ended_at, grant.ended_cause) == (world.clock.now(), "code_replayed")
        assert count_refresh_tokens(world, grant) == 1
        assert_dead(party, answer)
    lines = of_grant(world, grant)
    assert lines["authorization.granted", None] == lines["token.issued", None] == lines["grant.ended", "code_replayed"] == 1
    refusals = Counter(line["reason"] for line in world.events("token.refused"))
    assert refusals["code_replayed"] == ROUNDS * (THREADS - 1)


def test_the_session_and_its_other_grants_live_on_when_a_code_was_replayed(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party = signed_in.party
    code = fresh_code(world, signed_in.browser, party)
    assert party.redeem(code).status_code == 200
    assert party.redeem(code).status_code == 400
    assert party.introspect(signed_in.tokens.access).json()["active"] is True
    assert party.refresh(signed_in.tokens.refresh).status_code == 200


def test_one_new_token_is_made_and_the_grant_lives_when_twenty_refresh_at_once(world: World, race: Race[httpx.Response]) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party, token = signed_in.party, signed_in.tokens.refresh
    grant = grant_of(world, token)
    for number in range(1, ROUNDS + 1):
        responses = race(partial(party.refresh, token))
        assert {response.status_code for response in responses} == {200}
        # The same bytes for everybody: one access token, one ID token, one refresh token.
        assert len({response.content for response in responses}) == 1
        assert count_refresh_tokens(world, grant) == number + 1
        token = responses[0].json()["refresh_token"]
    assert grant_of(world, token).ended_at is None
    assert party.introspect(responses[0].json()["access_token"]).json()["active"] is True
    lines = of_grant(world, grant)
    assert lines["token.issued", None] == 1 + ROUNDS
    assert lines["token.repeated", None] == ROUNDS * (THREADS - 1)
    assert party.refresh(token).status_code == 200


def test_the_grant_ends_when_twenty_refresh_at_once_for_a_public_client(world: World, race: Race[httpx.Response]) -> None:
    signed_in = world.sign_in("claire", "tablette")
    party = signed_in.party
    confidential = world.relying_party("carnet")
    for _ in range(ROUNDS):
        tokens = party.redeem(fresh_code(world, signed_in.browser, party)).json()
        responses = race(partial(party.refresh, tokens["refresh_token"]))
        assert Counter(response.status_code for response in responses) == {200: 1, 400: THREADS - 1}
        answer = next(response for response in responses if response.status_code == 200).json()
        grant = grant_of(world, answer["refresh_token"])
        assert grant.ended_cause == "refresh_replayed"
        assert count_refresh_tokens(world, grant) == 2
        assert party.userinfo(answer["access_token"]).status_code == 401
        assert party.refresh(answer["refresh_token"]).status_code == 400
    assert confidential.introspect(answer["access_token"]).json() == {"active": False}


def test_one_thread_is_believed_when_twenty_send_one_client_assertion(world: World, race: Race[httpx.Response]) -> None:
    party = world.relying_party("signataire")
    endpoint = party.metadata["token_endpoint"]
    for _ in range(ROUNDS):
        fields = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": party.assertion(),
        }
        responses = race(partial(world.machine.post, endpoint, data=fields))
        assert Counter(response.status_code for response in responses) == {200: 1, 401: THREADS - 1}
        assert {response.json()["error"] for response in responses if response.status_code == 401} == {"invalid_client"}
    assert Counter(line["reason"] for line in world.events("token.refused")) == {"client_assertion_replayed": ROUNDS * (THREADS - 1)}
    assert len(world.events("token.issued")) == ROUNDS


def test_one_client_assertion_is_believed_once_over_all_endpoints(world: World) -> None:
    party = world.relying_party("signataire")
    access = party.client_credentials().json()["access_token"]
    fields = {"token": access, "client_assertion_type": ASSERTION_TYPE, "client_assertion": party.assertion()}
    assert world.machine.post(party.metadata["introspection_endpoint"], data=fields).status_code == 200
    for name in ("introspection_endpoint", "revocation_endpoint"):
        assert world.machine.post(party.metadata[name], data=fields).status_code == 401
    # The refused revocation did nothing.
    assert world.relying_party("carnet").introspect(access).json()["active"] is True


def test_one_code_is_issued_when_twenty_threads_finish_one_interaction(world: World, race: Race[httpx.Response]) -> None:
    browser = world.sign_in("claire", "carnet").browser
    party = world.relying_party("curieux")
    for number in range(1, 11):
        world.clock.advance(BETWEEN)
        page = browser.get(party.begin(prompt="consent"))
        form = page.forms["consent-form"]
        answered = browser.request("POST", form.action, data=_agreed(form), headers={"Origin": world.issuer})
        assert answered.status_code == 303, answered.text
        interaction = answered.headers["Location"]
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar.values())
        responses = race(partial(_visit, world, interaction, cookies))
        issued = [response for response in responses if "code=" in response.headers.get("Location", "")]
        assert len(issued) == 1, Counter((response.status_code, response.headers.get("Location", "")) for response in responses)
        assert all(response.status_code < 500 for response in responses)
        with world.database.read() as tx:
            assert tx.connection.execute(select(func.count()).where(grants.c.client_id == "curieux")).scalar_one() == number
            assert tx.connection.execute(select(func.count()).where(codes.c.client_id == "curieux")).scalar_one() == number
        code = httpx.URL(issued[0].headers["Location"]).params["code"]
        assert party.redeem(code).status_code == 200


def test_one_session_is_opened_when_twenty_threads_finish_one_sign_in(world: World, race: Race[httpx.Response]) -> None:
    browser = world.browser()
    party = world.relying_party("carnet")
    form = browser.get(party.begin()).forms["signin-form"]
    fields = {**form.fields, "identifier": world.person("claire").username, "password": world.password}
    answered = browser.request("POST", form.action, data=fields, headers={"Origin": world.issuer})
    assert answered.status_code == 303
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar.values())
    responses = race(lambda: _visit(world, answered.headers["Location"], cookies))
    assert len([response for response in responses if "code=" in response.headers.get("Location", "")]) == 1
    with world.database.read() as tx:
        assert len(tx.sessions.open_of(world.account("claire").id)) == 1
    assert len(world.events("session.opened")) == 1


def _agreed(form: Any) -> dict[str, str]:
    pressed = form.buttons[0]
    return {**form.fields, **({pressed[0]: pressed[1]} if pressed[0] else {})}


def _visit(world: World, where: str, cookies: str) -> httpx.Response:
    with world.transport() as client:
        return client.get(where, headers={"Cookie": cookies, "Accept": "text/html"})


# A rotated refresh token that comes back


def test_confidential_client_gets_the_same_answer_within_the_window(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party, token = signed_in.party, signed_in.tokens.refresh
    first = party.refresh(token)
    world.clock.advance(world.config.tokens.refresh_retry_window)
    assert party.refresh(token).content == first.content
    assert party.refresh(first.json()["refresh_token"]).status_code == 200


def test_the_grant_ends_when_a_rotated_token_comes_back_after_the_window(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party, token = signed_in.party, signed_in.tokens.refresh
    answer = party.refresh(token).json()
    world.clock.advance(world.config.tokens.refresh_retry_window + timedelta(microseconds=1))
    refused = party.refresh(token)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert world.last_event("token.")["reason"] == "refresh_replayed"
    assert grant_of(world, token).ended_cause == "refresh_replayed"
    assert_dead(party, answer)


def test_the_grant_ends_when_a_rotated_token_comes_back_after_its_successor_was_used(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party, token = signed_in.party, signed_in.tokens.refresh
    second = party.refresh(token).json()
    third = party.refresh(second["refresh_token"]).json()
    refused = party.refresh(token)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert grant_of(world, token).ended_cause == "refresh_replayed"
    assert_dead(party, third)


def test_public_client_has_no_window(world: World) -> None:
    signed_in = world.sign_in("claire", "tablette")
    party, token = signed_in.party, signed_in.tokens.refresh
    answer = party.refresh(token).json()
    assert party.refresh(token).status_code == 400
    assert grant_of(world, token).ended_cause == "refresh_replayed"
    assert party.refresh(answer["refresh_token"]).status_code == 400


def test_another_client_cannot_end_a_grant_with_a_token_it_found(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    thief = world.relying_party("autre")
    assert thief.refresh(signed_in.tokens.refresh).json()["error"] == "invalid_grant"
    assert world.last_event("token.")["reason"] == "refresh_of_another_client"
    code = fresh_code(world, signed_in.browser, signed_in.party)
    thief.begun = signed_in.party.begun
    assert thief.redeem(code).json()["error"] == "invalid_grant"
    assert world.last_event("token.")["reason"] == "code_of_another_client"
    assert signed_in.party.redeem(code).status_code == 200
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200


def test_a_repeated_answer_is_not_given_for_another_scope(world: World) -> None:
    signed_in = world.sign_in("claire", "carnet")
    party, token = signed_in.party, signed_in.tokens.refresh
    assert party.refresh(token, scope="openid").status_code == 200
    refused = party.refresh(token, scope="openid profile")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
    assert grant_of(world, token).ended_at is None


# Two different things at once: whoever is second sees what the first did


def at_the_end(world: World, browser: Browser, party: RelyingParty, person: str = "claire") -> Callable[[], httpx.Response]:
    """The password was given; what is left is the one request that ends the sign-in."""
    world.clock.advance(BETWEEN)
    form = browser.get(party.begin()).forms["signin-form"]
    fields = {**form.fields, "identifier": world.person(person).username, "password": world.password}
    answered = browser.request("POST", form.action, data=fields, headers={"Origin": world.issuer})
    assert answered.status_code == 303, answered.text
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.jar.values())
    return partial(_visit, world, answered.headers["Location"], cookies)


def code_in(response: httpx.Response) -> str | None:
    """The code that a response sends to the application."""
    return httpx.URL(response.headers.get("Location", "")).params.get("code")


def test_nothing_lives_on_when_a_person_is_suspended_at_the_end_of_the_sign_in(world: World, duel: Callable[..., list[Any]]) -> None:
    account = world.account("claire")
    party = world.relying_party("carnet")
    issued = 0

    def suspend() -> None:
        with world.database.write() as tx:
            accounts.suspend(tx, account, OPERATOR, clock=world.clock)

    for _ in range(ROUNDS):
        finish = at_the_end(world, world.browser(), party)
        response, _ = duel(finish, suspend)
        assert response.status_code < 500
        code = code_in(response)
        with world.database.read() as tx:
            assert tx.sessions.open_of(account.id) == ()
            assert tx.grants.open_of_account(account.id) == ()
        if code is not None:
            issued += 1
            assert party.redeem(code).status_code == 400
        with world.database.write() as tx:
            accounts.reinstate(tx, account, OPERATOR, clock=world.clock)
    assert len(world.events("token.issued")) == 0
    assert len(world.events("authorization.granted")) == issued


def test_an_application_that_got_tokens_is_told_when_the_person_signs_out_at_that_instant(
    world: World, duel: Callable[..., list[Any]]
) -> None:
    account = world.account("claire")
    party = world.relying_party("carnet")
    presences = world.application.signin.presences
    for _ in range(ROUNDS):
        browser = world.browser()
        code = code_in(at_the_end(world, browser, party)())
        assert code is not None
        with world.database.read() as tx:
            (session,) = tx.sessions.open_of(account.id)
        response, _ = duel(partial(party.redeem, code), partial(presences.sign_out, session, ORIGIN))
        assert response.status_code in {200, 400}
        with world.database.read() as tx:
            told = [notice.client_id for notice in tx.outbox.recent(500) if notice.session_id == session.id]
        assert told == (["carnet"] if response.status_code == 200 else [])
        if response.status_code == 200:
            assert_dead(party, response.json())


def test_one_password_stands_when_two_changes_are_made_at_once(world: World, duel: Callable[..., list[Any]]) -> None:
    account = world.account("claire")
    change = world.application.signin.password_change
    present = world.password

    def replace(typed: str) -> str | None:
        try:
            change.change(
                account.id, NewPassword(typed=typed, repeated=typed, current=present), connector=CONNECTOR, keep=None, origin=ORIGIN
            )
        except PasswordRefused:
            return None
        return typed

    for number in range(10):
        world.clock.advance(BETWEEN)
        wanted = [f"Quatre Marmottes {word} {number}" for word in ("Dansent", "Chantent")]
        done = [typed for typed in duel(*(partial(replace, typed) for typed in wanted)) if typed is not None]
        assert len(done) == 1, number
        with world.database.read() as tx:
            password = tx.people.password(account.id)
        assert password is not None
        assert world.application.hasher.verify(password.hash, done[0])
        present = done[0]
    assert len(world.events("password.changed")) == 10


def test_no_more_sessions_than_allowed_when_sign_ins_end_at_once(make_world: MakeWorld, duel: Callable[..., list[Any]]) -> None:
    world = make_world(sessions={"concurrent": 2}, server={"threads": THREADS})
    account, party = world.account("claire"), world.relying_party("carnet")
    for _ in range(10):
        responses = duel(*(at_the_end(world, world.browser(), party) for _ in range(6)))
        assert sum(code_in(response) is not None for response in responses) == 2
        assert {response.status_code for response in responses} <= {200, 303}  # 200: which one to close?
        with world.database.read() as tx:
            sessions = tx.sessions.open_of(account.id)
        assert len(sessions) == 2
        with world.database.write() as tx:
            for session in sessions:
                end_session(tx, session, Cause(Reason.SIGNED_OUT, "system", ORIGIN), clock=world.clock)


def test_a_configuration_is_applied_once_when_two_processes_start_at_once(
    make_world: MakeWorld, duel: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACE_SECRET", "un-secret-bien-assez-long-pour-cette-course")
    for number in range(5):
        slugs = [{"slug": f"maison-{number}-{index}", "name": f"Maison {index}"} for index in range(4)]
        clients = [
            {"client_id": f"app-{number}", "name": "Appli", "redirect_uris": ["https://app.example/cb"], "secret": "env:RACE_SECRET"}
        ]
        world = make_world(establishments=slugs, clients=clients)
        views = [open_database(world.config) for _ in range(4)]
        applied = duel(*(partial(registry.apply, view, world.config, OPERATOR, clock=world.clock) for view in views))
        assert sorted(one.is_new for one in applied) == [False, False, False, True]
        assert len(world.events("configuration.applied")) == 1
        assert len(world.events("establishment.changed")) == 4
        with world.database.read() as tx:
            revision = tx.revisions.get(registry.CONFIGURATION)
        assert revision is not None
        assert revision.number == 1
        for view in views:
            view.close()


def test_keys_are_rotated_once_when_two_workers_find_them_old(world: World, duel: Callable[..., list[Any]]) -> None:
    def rotate() -> bool:
        try:
            with world.database.write() as tx:
                keys.rotate(tx, world.application.keyring, world.clock, actor="system", origin=ORIGIN)
        except Refused:
            return False
        return True

    for _ in range(5):
        world.clock.advance(timedelta(hours=1))
        assert sorted(duel(rotate, rotate, rotate)) == [False, False, True]
        with world.database.read() as tx:
            states = Counter((key.alg, key.state) for key in tx.keys.all() if key.state != "retired")
        assert states == {(alg, state): 1 for alg in ("RS256", "ES256") for state in ("next", "current")}
