"""The authorization walk: every page and form of the console, and every command, by every role, on everybody, against the promise.

tests/support/who_may.py says what is promised, in other words than the program. Requests are real ones, by a signed-in agent whose roles are swapped
under them: what counts is what they hold when the request arrives. Nothing is confirmed, so that nothing is done.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import click
import httpx
import pytest

from idp.cli import vestibule
from idp.cli.acts import COMMAND_ACTS, Needs
from idp.cli.operators import NotOpen, admit
from idp.cli.place import Place
from idp.store.base import Reset, Role, Workstation
from idp.store.events import EventFilter
from idp.web.admin.console import HOME, Route
from idp.web.admin.routes import ROUTES
from tests.support.cast import PASSWORD, PEOPLE
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.who_may import REFUSALS, Holdings, Target, is_allowed
from tests.support.world import World

A, B = "tilleuls", "glycines"
ME = "rose"  # works at A
HELD: tuple[Holdings, ...] = (
    frozenset(),
    frozenset({("group_administrator", None)}),
    frozenset({("on_call_approver", None)}),
    *(frozenset({(role, place)}) for role in ("it_contact", "director") for place in (A, B)),
    *(frozenset({(role, place)}) for role in ("helpdesk_agent", "auditor") for place in (None, A, B)),
    frozenset({("helpdesk_agent", A), ("auditor", B)}),
    frozenset({("it_contact", A), ("on_call_approver", None)}),
)
# The cast, as the desk sees them; tests/support/cast.py says where they work.
HOLD: dict[str, Holdings] = {
    "sam": frozenset({("it_contact", A)}),
    "lea": frozenset({("group_administrator", None)}),
    "tom": frozenset({("helpdesk_agent", A)}),
}
WORK: dict[str, set[str]] = {
    "claire": {A},
    "karim": {B},
    "amina": {A, B},
    "hugo": set(),
    "paul": {A},  # suspended
    "ines": set(),  # her contract has ended
    "tom": {A},  # begins next week
    "sam": {A},
    "lea": {B},
    ME: {A},
}
NOBODY = "01J0000000000000000000ZZZZ"
FILLED = {"channel": "email"}  # what a form must say before its room is asked
FEW = ("claire", "karim", "sam", ME)  # own, other establishment, upwards, self


def name_of(held: Holdings) -> str:
    return "+".join(f"{role}@{place or 'group'}" for role, place in sorted(held, key=str)) or "nobody"


def target_of(person: str, held: Holdings) -> Target:
    return Target(frozenset(WORK[person]), held if person == ME else HOLD.get(person, frozenset()), is_self=person == ME)


def hold(world: World, person: str, held: Holdings) -> None:
    """Exactly these roles, from now on."""
    now, account_id = world.clock.now(), world.account(person).id
    with world.arranging() as tx:
        for role in tx.roles.open_of(account_id):
            tx.roles.end(role.id, now)
        for name, slug in sorted(held, key=str):
            place = world.establishment(slug).id if slug else None
            tx.roles.add(
                Role(
                    id=world.clock.new_id(),
                    account_id=account_id,
                    role=name,
                    establishment_id=place,
                    given_by="cli:test",
                    created_at=now,
                    ended_at=None,
                )
            )


@dataclass(frozen=True, slots=True)
class Walker:
    """An agent at the console whose roles change, and what became of each request."""

    agent: ConsoleAgent
    token: str
    ids: Mapping[str, str]
    newest: list[dict[str, Any]] = field(default_factory=list)  # the refusal recorded last, none yet

    @property
    def world(self) -> World:
        return self.agent.world

    def send(self, route: Route, values: Mapping[str, str]) -> httpx.Response:
        """One request, nothing followed and nothing confirmed."""
        path = HOME + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: values.get(found[1], "1"), route.rule)
        sent: dict[str, Any] = {"data": {"csrf_token": self.token, **FILLED}} if route.method == "POST" else {}
        return self.agent.browser.request(route.method, path, **sent)

    def refusals(self) -> list[dict[str, Any]]:
        with self.world.database.read() as tx:
            return tx.events.last(EventFilter(type_prefix="desk.refused"), 1)

    def outcome(self, route: Route, values: Mapping[str, str]) -> str | None:
        """The reason of the refusal that was recorded with this request; None when it was let through."""
        response = self.send(route, values)
        before, self.newest[:] = list(self.newest), self.refusals()
        if self.newest == before:
            assert response.status_code < 500, (route, values, response.status_code)
            assert "/signin/" not in response.headers.get("Location", ""), (route, values, "asked to sign in again")
            return None
        (line,) = self.newest
        # What the room itself found wrong (nothing to unlock, no such request) is told in its own way.
        assert response.status_code == 403 or line["reason"] not in REFUSALS, (route, values, response.status_code)
        assert line["actor"] == f"account:{self.ids[ME]}"
        return str(line["reason"])


@pytest.fixture
def walker(world: World) -> Walker:
    """Rose, signed in with a fresh code, whose token opens forms; the others hold what HOLD says."""
    for person, held in HOLD.items():
        hold(world, person, held)
    agent = console_agent(world, ME)
    page = agent.browser.get("/account")
    token = next(form.fields["csrf_token"] for form in page.document.forms if "csrf_token" in form.fields)
    return Walker(agent, token, {person: world.account(person).id for person in WORK})


def cases(route: Route, seen: set[tuple[object, ...]]) -> Iterator[tuple[str | None, str | None]]:
    """(person, place) to try on a route: everybody on the first of its kind, one of each standing on the others."""
    names_person, names_place = "<account_id>" in route.rule, "<slug>" in route.rule
    kind = (route.act, route.method, names_person, names_place)
    everybody = (*WORK, "nobody") if kind not in seen else FEW
    seen.add(kind)
    for person in everybody if names_person else (None,):
        for place in (A, B, "nulle-part") if names_place else (None,):
            yield person, place


@pytest.mark.parametrize("held", HELD, ids=name_of)
def test_every_route_lets_in_exactly_whom_it_should(walker: Walker, held: Holdings) -> None:
    hold(walker.world, ME, held)
    wrong: list[tuple[object, ...]] = []
    count = 0
    seen: set[tuple[object, ...]] = set()
    for route in ROUTES:
        for person, place in cases(route, seen):
            values = {"account_id": walker.ids.get(person or "", NOBODY), "slug": place or ""}
            reason = walker.outcome(route, values)
            target = target_of(person, held) if person in WORK else None
            is_there = (person is None or person in WORK) and place != "nulle-part"
            wanted = is_allowed(str(route.act), held, target=target, place=place if place in {A, B} else None)
            count += 1
            # What is let in may still find, further on, that a request or a workstation is not there, or is not theirs.
            if wanted and is_there and reason in REFUSALS and not _is_finer(route):
                wrong.append((route.method, route.rule, person, place, reason, "should be let in"))
            if not (wanted and is_there) and reason is None:
                wrong.append((route.method, route.rule, person, place, reason, "should be refused"))
    assert wrong == []
    assert count > 150


@pytest.mark.parametrize("held", HELD, ids=name_of)
def test_every_route_of_a_request_is_closed_to_whom_it_does_not_concern(walker: Walker, held: Holdings) -> None:
    """A request names its person and its home: whoever may not do the act to them there gets nothing, not even a look."""
    hold(walker.world, ME, held)
    requests = {slug: request_of(walker.world, person, slug) for person, slug in (("claire", A), ("karim", B))}
    wrong = []
    for route in ROUTES:
        if "<reset_id>" not in route.rule:
            continue
        for person, slug in (("claire", A), ("karim", B)):
            reason = walker.outcome(route, {"reset_id": requests[slug]})
            # The page of a move is the request's own: looking at it takes what looking at any request of that home takes.
            act = "see_console" if route.method == "GET" else str(route.act)
            if reason is None and not is_allowed(act, held, target=target_of(person, held), place=slug):
                wrong.append((route.method, route.rule, slug))
    assert wrong == []
    with walker.world.database.read() as tx:
        found = [tx.resets.get(one) for one in requests.values()]
    assert [one.state for one in found if one is not None] == ["asked", "asked"]


def request_of(world: World, person: str, slug: str) -> str:
    """A request for a new password, made by somebody else a moment ago."""
    now = world.clock.now()
    made = Reset(
        id=world.clock.new_id(),
        account_id=world.account(person).id,
        establishment_id=world.establishment(slug).id,
        kind="password",
        source="local",
        mode="admin",
        state="asked",
        is_own=False,
        asked_by="operator:root",
        why="oublié",
        asked_at=now,
        expires_at=now + timedelta(hours=8),
    )
    with world.arranging() as tx:
        tx.resets.add(made)
    return made.id


def _is_finer(route: Route) -> bool:
    """Routes whose room asks more than the table can say: of a request, whose it is and what it resets; of a cut, whose it was."""
    return "<cut_id>" in route.rule or "/resets/" in route.rule or route.rule.endswith("/reset")


def test_the_table_of_routes_says_what_it_must() -> None:
    """Each form has a page of the same address, to come back to after a second factor; whom and where are named by the two words the guard knows."""
    pages = {route.rule for route in ROUTES if route.method == "GET"}
    assert len({(route.method, route.rule) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        assert route.method in {"GET", "POST"}
        assert route.rule in pages, route
        if "<account_id>" not in route.rule:
            assert not re.search(r"<(?!slug>)\w*account\w*>", route.rule), route


# Who is not let in at all


def each_route(walker: Walker) -> Iterator[tuple[Route, httpx.Response]]:
    for route in ROUTES:
        yield route, walker.send(route, {"account_id": walker.ids["claire"], "slug": A})


def refused_everywhere(walker: Walker, fits: Callable[[httpx.Response], bool]) -> None:
    wrong = [(route.method, route.rule, response.status_code) for route, response in each_route(walker) if not fits(response)]
    assert wrong == []


def leads_to_sign_in(response: httpx.Response) -> bool:
    return response.status_code == 303 and response.headers["Location"].startswith("/signin/")


def test_a_browser_without_a_session_is_led_to_sign_in_by_every_route(walker: Walker) -> None:
    cookie = next(name for _, name in walker.agent.browser.jar if name.endswith("vestibule-session"))
    walker.agent.browser.jar = {key: kept for key, kept in walker.agent.browser.jar.items() if key[1] != cookie}
    refused_everywhere(walker, leads_to_sign_in)


def test_a_session_that_has_idled_out_opens_no_route(walker: Walker) -> None:
    walker.world.clock.advance(timedelta(minutes=31))
    refused_everywhere(walker, leads_to_sign_in)


def test_a_locked_session_opens_no_route(walker: Walker) -> None:
    walker.agent.browser.get("/account")
    walker.agent.browser.press("account-lock")
    refused_everywhere(walker, leads_to_sign_in)


def test_a_session_ended_by_an_administrator_opens_no_route(walker: Walker) -> None:
    with walker.world.arranging() as tx:
        for session in tx.sessions.open_of(walker.ids[ME]):
            tx.sessions.end(session.id, walker.world.clock.now(), cause="ended_by_operator")
    refused_everywhere(walker, leads_to_sign_in)


def test_an_old_second_factor_opens_no_dangerous_route_and_a_very_old_one_none(walker: Walker) -> None:
    walker.world.clock.advance(timedelta(minutes=6))
    for route, response in each_route(walker):
        assert leads_to_sign_in(response) == route.is_dangerous, (route, response.status_code)
    walker.world.clock.advance(timedelta(minutes=29))
    walker.agent.browser.get("/account")
    refused_everywhere(walker, leads_to_sign_in)


def test_somebody_given_a_role_after_a_sign_in_by_password_alone_proves_a_factor_first(world: World, walker: Walker) -> None:
    """Claire signed in on the LAN with her password; the role opens nothing to that Session."""
    hold(world, "claire", frozenset())
    browser = world.browser()
    browser.get("/account")
    page = browser.sign_in(world.person("claire").username, PASSWORD)
    token = next(form.fields["csrf_token"] for form in page.document.forms if "csrf_token" in form.fields)
    hold(world, "claire", frozenset({("group_administrator", None)}))
    other = Walker(ConsoleAgent(world, "claire", walker.agent.phone, browser), token, walker.ids)
    refused_everywhere(other, leads_to_sign_in)


def test_a_form_without_its_token_or_from_another_site_is_refused_by_every_route(walker: Walker) -> None:
    before = snapshot(walker.world)
    for route in ROUTES:
        if route.method != "POST":
            continue
        path = HOME + re.sub(
            r"<(?:\w+:)?(\w+)>", lambda found: {"account_id": walker.ids["claire"], "slug": A}.get(found[1], "1"), route.rule
        )
        for sent, headers in (
            ({}, {}),
            ({"csrf_token": "x" * 60}, {}),
            ({"csrf_token": walker.token, "confirm": "yes"}, {"Origin": "https://pirate.example"}),
        ):
            response = walker.agent.browser.request("POST", path, data=sent, headers=headers)
            assert response.status_code == 400, (route, sent, headers)
            assert walker.world.last_event("request.refused")["reason"] == "bad_form_token"
    assert snapshot(walker.world) == before


def snapshot(world: World) -> tuple[int, ...]:
    """What forms could have changed."""
    with world.database.read() as tx:
        return (
            len(tx.roles.holders()),
            sum(1 for account in tx.people.all() if account.status == "active"),
            sum(len(tx.people.attachments(account.id)) for account in tx.people.all()),
            sum(len(tx.sessions.open_of(account.id)) for account in tx.people.all()),
            tx.resets.waiting(None).open,
            len(tx.zones.open_with_slugs()),
        )


def test_a_role_taken_away_between_the_page_and_the_form_opens_no_form(walker: Walker) -> None:
    hold(walker.world, ME, frozenset({("group_administrator", None)}))
    assert walker.agent.get("/admin/administrators/give").status == 200
    hold(walker.world, ME, frozenset())
    for route in ROUTES:
        if route.method == "POST":
            assert walker.outcome(route, {"account_id": walker.ids["claire"], "slug": A}) == "act_not_held"


def test_an_agent_suspended_in_between_is_out_of_every_route(walker: Walker) -> None:
    with walker.world.arranging() as tx:
        tx.people.change(walker.ids[ME], walker.world.clock.now(), status="suspended")
    for route, response in each_route(walker):
        assert response.status_code in {303, 403}, (route, response.status_code)


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin/../admin/administrators",
        "/admin//administrators",
        "/admin/administrators/",
        "/admin/people/%2e%2e/administrators",
        "/admin/places/tilleuls/../glycines",
        "/ADMIN/administrators",
        "/admin/administrators;x=1",
        "/admin/people/' OR 1=1--",
        "/admin/nothing-of-the-kind",
    ],
)
def test_an_address_that_is_forced_opens_nothing_to_a_nurse(walker: Walker, path: str) -> None:
    hold(walker.world, ME, frozenset())
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
        response = walker.agent.browser.request(method, path, data={"csrf_token": walker.token})
        assert response.status_code in {403, 404, 405, 400, 308} or (method == "OPTIONS" and not response.content), (
            method,
            response.status_code,
        )
        if response.status_code == 308:
            assert not response.headers["Location"].rstrip("/").endswith("://")


# Commands


def all_commands() -> Iterator[tuple[str, click.Command]]:
    def walk(command: click.Command, context: click.Context, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from walk(inner, click.Context(inner, info_name=name, parent=context), (*path, name))
        else:
            yield " ".join(path), command

    yield from walk(vestibule, click.Context(vestibule, info_name="vestibule"), ())


def test_every_command_is_in_the_table_and_its_parameters_are_there() -> None:
    commands = dict(all_commands())
    assert set(COMMAND_ACTS) == set(commands)
    for name, needs in COMMAND_ACTS.items():
        parameters = {parameter.name for parameter in commands[name].params}
        assert parameters >= {*needs.whom, *filter(None, (needs.where, needs.thing))}, name


def user_of(held: Holdings) -> str:
    return re.sub(r"[^a-z_]", "_", name_of(held))


@pytest.fixture
def place(make_world: Callable[..., World]) -> Iterator[tuple[Place, World]]:
    """A world whose configuration names an operator for each of HELD, all of them Rose."""
    operators = [
        {"user": user_of(held), "role": role, "establishment": slug, "account": "rose.marchand"} for held in HELD for role, slug in held
    ]
    world = make_world(operators=operators)
    for person, held in HOLD.items():
        hold(world, person, held)
    with ExitStack() as stack:
        yield Place(world.config_path, stack), world


def workstation_at(world: World, slug: str) -> str:
    home, now = world.establishment(slug), world.clock.now()
    with world.arranging() as tx:
        (zone,) = tx.zones.of(home.id)
        made = Workstation(
            id=world.clock.new_id(),
            establishment_id=home.id,
            zone_id=zone.id,
            name="Poste",
            is_shared=False,
            secret_digest=world.clock.new_token(),
            previous_digest=None,
            rotated_at=now,
            enrolled_by="cli:test",
            created_at=now,
            last_seen_at=now,
            ended_at=None,
        )
        tx.workstations.add(made)
    return made.id


@pytest.mark.parametrize("held", HELD, ids=name_of)
def test_every_command_lets_exactly_whom_it_should_run_it(place: tuple[Place, World], held: Holdings) -> None:
    where, world = place
    things = {
        "workstation_id": {slug: workstation_at(world, slug) for slug in (A, B)},
        "reset_id": {slug: request_of(world, person, slug) for person, slug in (("claire", A), ("karim", B))},
    }
    wrong: list[tuple[object, ...]] = []
    count = 0
    for command, needs in COMMAND_ACTS.items():
        if needs.act is None:
            continue
        for given, person, slug in parameters(needs, things):
            target = target_of(person, held) if person in WORK else None
            in_group = needs.is_everywhere or (needs.where is not None and slug is None)
            wanted = is_allowed(str(needs.act), held, target=target, place=slug if slug in {A, B} else None, in_whole_group=in_group)
            is_group_wide = is_allowed(str(needs.act), held, in_whole_group=True)
            # What is not there is told, by the command itself, to those alone who see everything.
            if person == "nobody" or slug == "nulle-part":
                wanted = is_group_wide
            count += 1
            if runs(where, user_of(held), command, given=given) != wanted:
                wrong.append((command, given, wanted))
    assert wrong == []
    assert count > 200


def parameters(needs: Needs, things: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[dict[str, str | None], str | None, str | None]]:
    """What a command may be given: (parameters, person, establishment)."""
    for person in (*WORK, "nobody") if needs.whom else (None,):
        for slug in (A, B, "nulle-part", None) if needs.where else (A, B, "nulle-part") if needs.thing else (None,):
            given: dict[str, str | None] = dict.fromkeys(needs.whom, f"{person}.x" if person == "nobody" else username(person))
            if needs.where:
                given[needs.where] = slug
            if needs.thing:
                given[needs.thing] = things[needs.thing].get(slug or "", NOBODY)
            yield given, person, slug


def username(person: str | None) -> str | None:
    return next((one.username for one in PEOPLE if one.key == person), None)


def runs(place: Place, user: str, command: str, *, given: Mapping[str, str | None]) -> bool:
    try:
        admit(place, user, command, given)
    except NotOpen:
        return False
    return True
