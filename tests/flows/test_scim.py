"""A source writes its people to us by SCIM: an Account is made, changed, cut and taken back in the very request that says so."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from idp.composition.cut import open_deliverer
from idp.store.base import Account, Link
from tests.conftest import MakeWorld
from tests.support.cast import LANS, PASSWORD
from tests.support.scim_source import ENTERPRISE, PATCH, USER, ScimSource, scim_settings
from tests.support.world import SignedIn, World

EXTERNAL = "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"


@pytest.fixture
def homes(make_world: MakeWorld, tmp_path: Path) -> World:
    """The world's homes, and one source that writes to them."""
    return make_world(scim=[scim_settings(tmp_path)])


@pytest.fixture
def source(homes: World) -> ScimSource:
    """The source."""
    return ScimSource(homes)


def link_of(world: World, user_id: str, connector: str = "rh") -> Link | None:
    with world.database.read() as tx:
        return tx.links.get(connector, user_id)


def account_of(world: World, user_id: str) -> Account:
    link = link_of(world, user_id)
    assert link is not None
    with world.database.read() as tx:
        account = tx.people.get(link.account_id)
    assert account is not None
    return account


def placed(world: World, source: ScimSource, username: str = "marie.curie", **more: Any) -> dict[str, Any]:
    """Somebody who works at Les Tilleuls, with a password of ours to come in by."""
    person = source.add_user(username, **more)
    group = source.get("/Groups", filter='displayName eq "tilleuls-ide"').json()["Resources"]
    if group:
        answer = source.patch(
            f"/Groups/{group[0]['id']}", {"op": "Add", "path": "members", "value": [{"$ref": None, "value": person["id"]}]}
        )
        assert answer.status_code == 204, answer.text
    else:
        source.add_group("tilleuls-ide", person["id"])
    encoded = world.application.hasher.hash(PASSWORD)
    with world.arranging() as tx:
        tx.people.set_password(account_of(world, person["id"]).id, encoded, must_change=False, now=world.clock.now())
    return person


def sign_in(world: World, username: str = "marie.curie") -> SignedIn:
    browser, party = world.browser(address=LANS["tilleuls"]), world.relying_party("carnet")
    page = browser.sign_in(username, PASSWORD, page=browser.get(party.begin(scope="openid profile email establishment")))
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


def test_source_adds_a_person_whom_a_group_places_and_they_have_an_account(homes: World, source: ScimSource) -> None:
    person = source.add_user(
        "marie.curie",
        name={"givenName": "Marie", "familyName": "Curie"},
        emails=[{"value": "marie@example.test", "type": "work", "primary": True}],
        **{ENTERPRISE: {"employeeNumber": "1867", "department": "Nuit"}},
    )
    with homes.database.read() as tx:
        assert tx.links.get("rh", person["id"]) is None  # nothing places her yet
    source.add_group("tilleuls-ide", person["id"])
    with homes.database.read() as tx:
        link = tx.links.get("rh", person["id"])
        assert link is not None
        account = tx.people.get(link.account_id)
        attachments = tx.people.attachments(link.account_id)
    assert account is not None
    assert (account.username, account.given_name, account.email, account.status) == ("marie.curie", "Marie", "marie@example.test", "active")
    assert [(one.profile, one.source, one.ended_at) for one in attachments] == [("nurse", "rh", None)]
    assert (link.kind, link.how) == ("pushed", "directory")


def test_source_disables_a_person_and_the_account_is_cut(homes: World, source: ScimSource) -> None:
    person = source.add_user("marie.curie")
    source.add_group("tilleuls-ide", person["id"])
    answer = source.disable(person["id"])
    assert (answer.status_code, answer.json()["active"]) == (200, False)
    with homes.database.read() as tx:
        link = tx.links.get("rh", person["id"])
        assert link is not None
        account, cuts = tx.people.get(link.account_id), tx.cuts.of_account(link.account_id)
    assert account is not None
    assert (account.status, account.cut_by) == ("suspended", "rh")
    (cut,) = cuts
    assert (cut.kind, cut.cause, cut.actor, cut.connector, cut.subject) == (
        "suspended",
        "directory_disabled",
        "connector:rh",
        "rh",
        person["id"],
    )
    assert cut.heard_at == homes.clock.now()


@pytest.mark.parametrize("value", [False, "False", "false"])
@pytest.mark.parametrize("op", ["replace", "Replace", "Add"])
def test_person_has_no_session_no_token_and_the_application_is_told_when_the_source_disables_them(
    homes: World, source: ScimSource, op: str, value: object
) -> None:
    person = placed(homes, source)
    here = sign_in(homes)
    assert here.party.userinfo(here.tokens.access).status_code == 200
    answer = source.patch(f"/Users/{person['id']}", {"op": op, "path": "active", "value": value})
    assert answer.status_code == 200
    assert here.party.userinfo(here.tokens.access).status_code == 401
    assert here.party.introspect(here.tokens.access).json() == {"active": False}
    assert here.party.refresh(here.tokens.refresh).json()["error"] == "invalid_grant"
    assert homes.last_event("account.suspended")["reason"] == "directory_disabled"
    with homes.database.read() as tx:
        (cut,) = tx.cuts.of_account(account_of(homes, person["id"]).id)
        notices = tx.cuts.notices(cut.id)
    assert (cut.sessions, cut.grants, cut.notices, len(notices)) == (1, 1, 1, 1)
    with closing(open_deliverer(homes.application)) as outbox:
        outbox.run_once()
        homes.listener.wait(1)


def test_person_may_sign_in_again_when_the_source_enables_them_again(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    source.disable(person["id"])
    assert account_of(homes, person["id"]).status == "suspended"
    source.patch(f"/Users/{person['id']}", {"op": "Replace", "path": "active", "value": "True"})
    assert account_of(homes, person["id"]).status == "active"
    sign_in(homes)
    assert homes.last_event("account.reinstated")["connector"] == "rh"


def test_source_does_not_lift_what_an_operator_decided(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    with homes.arranging() as tx:
        tx.people.change(account_of(homes, person["id"]).id, homes.clock.now(), status="suspended", cut_by="operator")
    source.patch(f"/Users/{person['id']}", {"op": "replace", "path": "active", "value": True})
    assert account_of(homes, person["id"]).status == "suspended"


def test_person_is_cut_when_the_source_deletes_them(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    here = sign_in(homes)
    account = account_of(homes, person["id"])
    assert source.send("DELETE", f"/Users/{person['id']}").status_code == 204
    assert here.party.userinfo(here.tokens.access).status_code == 401
    assert source.get(f"/Users/{person['id']}").status_code == 404
    assert source.send("DELETE", f"/Users/{person['id']}").status_code == 404
    link = link_of(homes, person["id"])
    assert link is not None
    assert link.word == "gone"
    with homes.database.read() as tx:
        (cut,) = tx.cuts.of_account(account.id)
    assert cut.cause == "directory_gone"


def test_disabling_twice_changes_nothing(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    first = source.disable(person["id"])
    second = source.disable(person["id"])
    assert first.headers["ETag"] == second.headers["ETag"]
    with homes.database.read() as tx:
        assert len(tx.cuts.of_account(account_of(homes, person["id"]).id)) == 1
    said = [one for one in homes.events("scim.changed") if one["details"].get("active") is False]
    assert [one["details"]["what"] for one in said] == ["patched"]


def test_person_who_leaves_the_group_loses_that_home_alone(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    elsewhere = source.add_group("glycines-ide", person["id"])
    here = sign_in_at(homes)
    answer = source.patch(f"/Groups/{elsewhere['id']}", {"op": "remove", "path": f'members[value eq "{person["id"]}"]'})
    assert answer.status_code == 204
    assert here.party.userinfo(here.tokens.access).status_code == 200  # what stands on Les Tilleuls stays
    (group,) = source.get("/Groups", filter='displayName eq "tilleuls-ide"').json()["Resources"]
    source.patch(f"/Groups/{group['id']}", {"op": "Remove", "path": "members", "value": [{"value": person["id"]}]})
    assert here.party.userinfo(here.tokens.access).status_code == 401
    account = account_of(homes, person["id"])
    assert account.status == "active"
    with homes.database.read() as tx:
        assert [(one.kind, one.cause) for one in tx.cuts.of_account(account.id)] == [("attachment", "attachment_lost")]


def sign_in_at(world: World) -> SignedIn:
    browser, party = world.browser(address=LANS["tilleuls"]), world.relying_party("carnet")
    page = browser.get(party.begin(scope="openid profile email establishment", establishment="tilleuls"))
    page = browser.sign_in("marie.curie", PASSWORD, page=page)
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


def test_people_are_placed_anew_when_the_source_renames_or_deletes_their_group(homes: World, source: ScimSource) -> None:
    person = source.add_user("marie.curie")
    group = source.add_group("tilleuls-ide", person["id"])
    source.patch(f"/Groups/{group['id']}", {"op": "Replace", "path": "displayName", "value": "glycines-ide"})
    glycines = homes.establishment("glycines").id
    account = account_of(homes, person["id"])
    with homes.database.read() as tx:
        assert [one.establishment_id for one in tx.people.attachments(account.id) if one.ended_at is None] == [glycines]
    assert source.send("DELETE", f"/Groups/{group['id']}").status_code == 204
    with homes.database.read() as tx:
        assert [one for one in tx.people.attachments(account.id) if one.ended_at is None] == []


def test_source_never_takes_over_an_account_by_its_login_or_address(homes: World, source: ScimSource) -> None:
    claire = homes.account("claire")
    person = source.add_user(claire.username or "", emails=[{"value": claire.email, "primary": True}], externalId=EXTERNAL)
    source.add_group("tilleuls-ide", person["id"])
    made = account_of(homes, person["id"])
    assert made.id != claire.id
    assert (made.username, made.email) == (None, None)  # both are left to Claire
    source.disable(person["id"])
    assert homes.account("claire").status == "active"


def test_whoever_is_disabled_from_the_start_gets_no_account(homes: World, source: ScimSource) -> None:
    answer = source.send("POST", "/Users", {"schemas": [USER], "userName": "marie.curie", "active": False})
    assert answer.status_code == 201
    source.add_group("tilleuls-ide", answer.json()["id"])
    assert link_of(homes, answer.json()["id"]) is None


def test_nothing_is_written_when_one_operation_of_several_is_refused(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    answer = source.patch(
        f"/Users/{person['id']}",
        {"op": "replace", "path": "active", "value": False},
        {"op": "replace", "path": "id", "value": "mine"},
    )
    assert (answer.status_code, answer.json()["scimType"]) == (400, "mutability")
    assert account_of(homes, person["id"]).status == "active"
    assert source.get(f"/Users/{person['id']}").json()["active"] is True
    refused = homes.last_event("scim.refused")
    assert (refused["reason"], refused["connector"]) == ("invalid_request", "rh")


def test_write_is_refused_when_the_resource_was_changed_meanwhile(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    first = source.get(f"/Users/{person['id']}").headers["ETag"]
    source.patch(f"/Users/{person['id']}", {"op": "replace", "path": "title", "value": "IDE"}, headers={"If-Match": first})
    answer = source.patch(f"/Users/{person['id']}", {"op": "replace", "path": "active", "value": False}, headers={"If-Match": first})
    assert answer.status_code == 412
    assert homes.last_event("scim.refused")["reason"] == "scim_changed_meanwhile"
    assert account_of(homes, person["id"]).status == "active"
    now = source.get(f"/Users/{person['id']}")
    for tag in (now.headers["ETag"], now.headers["ETag"].removeprefix("W/"), f'"0", {now.headers["ETag"]}', "*"):
        assert source.send("GET", f"/Users/{person['id']}", headers={"If-None-Match": tag}).status_code == 304, tag
    assert source.send("GET", f"/Users/{person['id']}", headers={"If-None-Match": first}).status_code == 200
    for method, path in (("PUT", f"/Users/{person['id']}"), ("DELETE", f"/Users/{person['id']}")):
        answer = source.send(method, path, {"schemas": [USER], "userName": "x"}, headers={"If-Match": first})
        assert answer.status_code == 412, method
    assert account_of(homes, person["id"]).status == "active"


def test_second_of_the_same_name_is_refused(homes: World, source: ScimSource) -> None:
    source.add_user("Marie.Curie", externalId=EXTERNAL)
    for more in ({"userName": "marie.curie"}, {"userName": "pierre.curie", "externalId": EXTERNAL}):
        answer = source.send("POST", "/Users", {"schemas": [USER], **more})
        assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")
        assert homes.last_event("scim.refused")["reason"] == "scim_conflict"
    assert source.get("/Users").json()["totalResults"] == 1


def test_body_of_a_patch_is_read_strictly(source: ScimSource) -> None:
    person = source.add_user("marie.curie")
    wrong: tuple[tuple[Any, str], ...] = (
        ({"Operations": []}, "invalidSyntax"),
        ({"schemas": [PATCH], "Operations": [{"op": "move", "path": "title"}]}, "invalidSyntax"),
        ({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "shoeSize", "value": "39"}]}, "invalidPath"),
        ({"schemas": [PATCH], "Operations": [{"op": "remove"}]}, "noTarget"),
        ({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": "perhaps"}]}, "invalidValue"),
        ({"schemas": [PATCH], "Operations": [{"op": "remove", "path": "userName"}]}, "invalidValue"),
        ({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "emails[type eq", "value": "x"}]}, "invalidPath"),
        ({"schemas": [PATCH], "Operations": [{"op": "replace", "path": 'emails[shape eq "x"].value', "value": "x"}]}, "invalidFilter"),
    )
    for body, scim_type in wrong:
        answer = source.send("PATCH", f"/Users/{person['id']}", body)
        assert (answer.status_code, answer.json()["scimType"]) == (400, scim_type), body
        assert answer.headers["Content-Type"].startswith("application/scim+json")


def test_person_who_is_disabled_is_not_let_in_again_by_silence(homes: World, source: ScimSource) -> None:
    person = placed(homes, source)
    source.disable(person["id"])
    answer = source.send("PUT", f"/Users/{person['id']}", {"schemas": [USER], "userName": "marie.curie"})
    assert (answer.status_code, answer.json()["active"]) == (200, False)
    assert source.patch(f"/Users/{person['id']}", {"op": "remove", "path": "active"}).status_code == 200
    assert account_of(homes, person["id"]).status == "suspended"
