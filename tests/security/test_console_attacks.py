"""Attacks on the console that must fail: looking for people through refusals, skipping the page of differences, replaying, racing, and framing."""

import re
import threading

import pytest

from policies.acts import GROUP_ADMINISTRATOR, HELPDESK_AGENT, IT_CONTACT
from tests.support.agents import give_role
from tests.support.cast import OUTSIDE
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.world import World

GIVE = "/admin/administrators/give"


@pytest.fixture
def admin(world: World) -> ConsoleAgent:
    return console_agent(world)


def token(agent: ConsoleAgent) -> str:
    return agent.get(GIVE).forms["give-role-form"].fields["csrf_token"]


def roles_of(world: World, person: str) -> list[str]:
    with world.database.read() as tx:
        return [role.role for role in tx.roles.open_of(world.account(person).id)]


def bare(markup: str) -> str:
    """A page without what differs at every request: its support code and its form's token."""
    return re.sub(
        r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}|[0-9A-HJKMNP-TV-Z]{10}|01[0-9A-HJKMNP-TV-Z]{24}|value=\"[^\"]{60,}\"", "", markup
    )


def test_a_contact_learns_nothing_from_refusals_of_who_is_there(world: World) -> None:
    """Somebody of another home, the break-glass account and nobody at all are one page."""
    contact = console_agent(world, "claire", IT_CONTACT, "tilleuls")
    with world.arranging() as tx:
        tx.people.change(world.account("hugo").id, world.clock.now(), is_break_glass=True)
    pages = [
        contact.get(f"/admin/people/{account_id}{rest}")
        for rest in ("/suspend", "/unlock")
        for account_id in (world.account("karim").id, world.account("hugo").id, "01J0000000000000000000ZZZZ")
    ]
    assert {page.status for page in pages} == {403}
    for first in (0, 3):
        assert len({bare(page.markup) for page in pages[first : first + 3]}) == 1
    for person in ("Haddad", "Lefèvre", "karim", "hugo"):
        assert all(person not in page.markup for page in pages)
    reasons = [line["reason"] for line in world.events("desk.refused")]
    assert reasons == ["act_outside_establishment", "act_on_break_glass", "act_target_unknown"] * 2


@pytest.mark.parametrize("confirmation", [{}, {"confirm": "yes"}, {"confirm": "yes", "seen": ""}, {"confirm": "yes", "seen": "0" * 32}])
def test_a_form_that_confirms_what_nobody_read_changes_nothing(world: World, admin: ConsoleAgent, confirmation: dict[str, str]) -> None:
    before = len(world.events("role.given"))
    fields = {"csrf_token": token(admin), "who": "claire.dubois", "role": HELPDESK_AGENT, "establishment": "tilleuls"}
    page = admin.browser.post(GIVE, {**fields, **confirmation})
    assert "changes" in page.forms
    assert roles_of(world, "claire") == []
    assert len(world.events("role.given")) == before


def test_a_confirmation_of_other_differences_than_were_read_is_shown_them_first(world: World, admin: ConsoleAgent) -> None:
    """The mark is of what was on the page: of another role, or another person, it is worth nothing."""
    fields = {"csrf_token": token(admin), "who": "claire.dubois", "role": HELPDESK_AGENT, "establishment": "tilleuls"}
    seen = admin.browser.post(GIVE, fields).forms["changes"].fields["seen"]
    page = admin.browser.post(GIVE, {**fields, "role": GROUP_ADMINISTRATOR, "establishment": "", "confirm": "yes", "seen": seen})
    assert page.status == 409
    page = admin.browser.post(GIVE, {**fields, "who": "karim.haddad", "confirm": "yes", "seen": seen})
    assert page.status == 409
    assert roles_of(world, "claire") == roles_of(world, "karim") == []


def test_a_confirmation_replayed_gives_the_role_once(world: World, admin: ConsoleAgent) -> None:
    fields = {"csrf_token": token(admin), "who": "claire.dubois", "role": HELPDESK_AGENT, "establishment": "tilleuls"}
    seen = admin.browser.post(GIVE, fields).forms["changes"].fields["seen"]
    statuses = [admin.browser.post(GIVE, {**fields, "confirm": "yes", "seen": seen}).status for _ in range(3)]
    assert statuses == [200, 422, 422]
    assert roles_of(world, "claire") == [HELPDESK_AGENT]


def test_a_confirmation_sent_twice_at_one_moment_gives_the_role_once(world: World, admin: ConsoleAgent) -> None:
    fields = {"csrf_token": token(admin), "who": "claire.dubois", "role": HELPDESK_AGENT, "establishment": "tilleuls"}
    seen = admin.browser.post(GIVE, fields).forms["changes"].fields["seen"]
    barrier, statuses = threading.Barrier(4), []
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in admin.browser.jar.values())

    def press() -> None:
        with world.transport() as client:
            barrier.wait()
            headers = {**admin.browser.headers, "Cookie": cookies}
            statuses.append(client.post(GIVE, data={**fields, "confirm": "yes", "seen": seen}, headers=headers).status_code)

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(statuses) == [303, 422, 422, 422]
    assert roles_of(world, "claire") == [HELPDESK_AGENT]


def test_a_role_named_twice_in_one_form_is_the_one_that_was_read(world: World, admin: ConsoleAgent) -> None:
    """Parameter pollution: the page of differences and the act read the same value."""
    body = f"csrf_token={token(admin)}&who=claire.dubois&role={HELPDESK_AGENT}&role={GROUP_ADMINISTRATOR}&establishment=tilleuls"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    polluted = admin.browser.request("POST", GIVE, content=body, headers=headers)
    seen = (
        admin.browser.post(GIVE, {"csrf_token": token(admin), "who": "claire.dubois", "role": HELPDESK_AGENT, "establishment": "tilleuls"})
        .forms["changes"]
        .fields["seen"]
    )
    # The mark is of all that was sent: that of the plain form is worth nothing for this one.
    response = admin.browser.request("POST", GIVE, content=f"{body}&confirm=yes&seen={seen}", headers=headers)
    assert (response.status_code, roles_of(world, "claire")) == (409, [])
    seen = re.search(r'name="seen" value="([^"]+)"', polluted.text).group(1)  # type: ignore[union-attr]  # the page of differences has it
    admin.browser.request("POST", GIVE, content=f"{body}&confirm=yes&seen={seen}", headers=headers)
    assert roles_of(world, "claire") == [HELPDESK_AGENT]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_a_change_by_any_other_method_than_its_form_does_nothing(world: World, admin: ConsoleAgent, method: str) -> None:
    query = {"who": "claire.dubois", "role": HELPDESK_AGENT, "establishment": "tilleuls", "confirm": "yes", "_method": "POST"}
    response = admin.browser.request(method, GIVE, params=query, headers={"X-HTTP-Method-Override": "POST"})
    assert response.status_code in {200, 405}
    assert roles_of(world, "claire") == []


@pytest.mark.parametrize(
    "typed",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "a\r\nSet-Cookie: x=y", "\x00", "‮admin", "x" * 5000],
)
def test_hostile_text_in_a_form_is_shown_as_text_and_kept(world: World, admin: ConsoleAgent, typed: str) -> None:
    fields = {"csrf_token": token(admin), "who": typed, "role": IT_CONTACT, "establishment": typed}
    page = admin.browser.post(GIVE, fields)
    assert page.status in {400, 422}
    assert "<script>alert" not in page.markup
    assert "<img src=x" not in page.markup
    assert "49" not in page.document.title
    assert "Set-Cookie: x=y" not in str(page.headers)
    for path in (
        f"/admin/administrators?q={typed[:80].encode().hex()}",
        "/admin/administrators?q=%3Cscript%3Ealert(1)%3C/script%3E&page=-1",
    ):
        found = admin.get(path)
        assert found.status == 200
        assert "<script>alert" not in found.markup
    assert len(world.events("role.given")) <= 1


def test_a_wildcard_in_the_search_of_administrators_finds_nobody(world: World, admin: ConsoleAgent) -> None:
    assert "Rose Marchand" in admin.get("/admin/administrators?q=march").text
    for typed in ("%25", "_", "%25arch", "mar%25"):
        assert "Rose Marchand" not in admin.get(f"/admin/administrators?q={typed}").text


def test_no_page_of_the_console_is_kept_or_framed(admin: ConsoleAgent) -> None:
    for path in ("/admin", "/admin/administrators", GIVE, "/admin/people"):
        page = admin.get(path)
        assert page.status == 200
        assert "no-store" in page.headers["Cache-Control"]
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in page.headers["Content-Security-Policy"]


def test_the_way_back_from_a_step_up_is_a_page_of_ours(world: World, admin: ConsoleAgent) -> None:
    """The form was not sent on unseen, and nothing in the address leads away."""
    for _ in range(2):  # the Session goes on, the code grows old
        world.clock.advance(world.config.console.fresh * 0.6)
        admin.browser.get("/account")
    form = admin.browser.get("/account").document.forms[0]
    page = admin.browser.post(f"/admin/people/{world.account('claire').id}/sessions/end", {"csrf_token": form.fields["csrf_token"]})
    page = admin.prove(page)
    assert page.url == f"{world.issuer}/admin/people/{world.account('claire').id}"
    assert world.events("session.ended") == []
    for path in ("/admin//evil.example", "/admin/../../evil.example", "//evil.example/admin"):
        response = admin.browser.request("GET", f"{world.issuer}{path}")
        location = response.headers.get("Location", "")
        assert not location.startswith(("//", "https://evil")), (path, location)


def test_a_stolen_session_cookie_from_elsewhere_is_asked_for_a_factor_it_does_not_have(world: World, admin: ConsoleAgent) -> None:
    """The cookie alone, in another browser on the internet, after the code has grown old: nothing opens."""
    name, stolen = next((key, cookie) for key, cookie in admin.browser.jar.items() if key[1].endswith("vestibule-session"))
    thief = world.browser(address=OUTSIDE)
    thief.jar[name] = stolen
    world.clock.advance(world.config.console.step_up * 1.1)
    page = thief.get(GIVE)
    assert "give-role-form" not in page.forms
    assert roles_of(world, "claire") == []


def test_a_contact_cannot_raise_a_colleague_or_themselves_by_any_form(world: World) -> None:
    contact = console_agent(world, "claire", IT_CONTACT, "tilleuls")
    page = contact.browser.get("/account")
    csrf = next(form.fields["csrf_token"] for form in page.document.forms if "csrf_token" in form.fields)
    for who in ("claire.dubois", "rose.marchand"):
        fields = {"csrf_token": csrf, "who": who, "role": HELPDESK_AGENT, "establishment": "tilleuls", "confirm": "yes", "seen": "x"}
        assert contact.browser.post(GIVE, fields).status == 403
    assert roles_of(world, "claire") == [IT_CONTACT]
    assert roles_of(world, "rose") == []


def test_a_helpdesk_agent_made_a_contact_elsewhere_still_does_nothing_upwards(world: World) -> None:
    """Two roles in two homes do not add up to more in either."""
    agent = console_agent(world, "rose", HELPDESK_AGENT, "tilleuls")
    give_role(world, "rose", IT_CONTACT, "glycines")
    give_role(world, "sam", IT_CONTACT, "tilleuls")
    assert agent.get(f"/admin/people/{world.account('sam').id}/unlock").status == 403
    assert world.last_event("desk.refused")["reason"] == "act_upwards"
    assert agent.get(f"/admin/people/{world.account('amina').id}/suspend").status == 403, "she works in both: it takes the act in both"
    assert world.last_event("desk.refused")["reason"] == "act_outside_establishment"
