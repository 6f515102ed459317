"""What a source may not do by SCIM, whatever it writes: break the program, take over an Account, or win a race against itself."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import MakeWorld
from tests.support.scim_source import ENTERPRISE, GROUP, PATCH, USER, ScimSource, scim_settings
from tests.support.world import World

TEXT = st.text(max_size=12) | st.sampled_from(["userName", "members", "active", "True", "\x00", "\ud800", "İ", "x" * 1_001, "urn:"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "schemas",
        "userName",
        "USERNAME",
        "name",
        "emails",
        "roles",
        "active",
        "externalId",
        "id",
        "meta",
        "groups",
        "displayName",
        "members",
        ENTERPRISE,
    ]
)
RESOURCES = st.dictionaries(NAMES, VALUES, max_size=5)
PATHS = st.sampled_from(
    [
        *(
            "active",
            "userName",
            "name",
            "name.givenName",
            "emails",
            "emails.value",
            'emails[type eq "work"]',
            'emails[type eq "work"].value',
        ),
        *(
            "emails[not (primary pr)].type",
            "emails[",
            "emails[]",
            "]",
            "[",
            ".",
            "",
            "members",
            'members[value eq "x"]',
            "id",
            "meta.version",
        ),
        *(
            ENTERPRISE,
            f"{ENTERPRISE}:",
            f"{ENTERPRISE}:manager",
            f"{ENTERPRISE}:manager.displayName",
            USER,
            f"{USER}:active",
            "urn:other:thing",
        ),
    ]
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "Replace", "REMOVE", "move"])}, optional={"path": PATHS | TEXT, "value": VALUES}
)
CHECKS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path) -> World:
    """A world and its source."""
    return make_world(scim=[scim_settings(tmp_path)])


@pytest.fixture
def send(world: World) -> Callable[[str, str, Any], int]:
    """Send JSON as bytes, lone surrogates too; the status."""
    source = ScimSource(world)

    def run(method: str, path: str, body: Any) -> int:
        content = json.dumps(body).encode()
        answer = source.client.request(method, f"/scim/v2{path}", content=content, headers=source.headers)
        if answer.content:
            json.loads(answer.content)
        return answer.status_code

    return run


@CHECKS
@given(body=RESOURCES | VALUES, kind=st.sampled_from(["Users", "Groups"]))
def test_no_resource_breaks_the_program(send: Callable[[str, str, Any], int], body: Any, kind: str) -> None:
    assert send("POST", f"/{kind}", body) in {201, 400, 409}


@CHECKS
@given(operations=st.lists(OPERATIONS, max_size=3))
def test_no_patch_breaks_the_program(send: Callable[[str, str, Any], int], world: World, operations: list[Any]) -> None:
    source = ScimSource(world)
    found = source.get("/Users").json()["Resources"] or [source.add_user("marie.curie")]
    assert send("PATCH", f"/Users/{found[0]['id']}", {"schemas": [PATCH], "Operations": operations}) in {200, 400, 409}
    groups = source.get("/Groups").json()["Resources"] or [source.add_group("tilleuls-ide")]
    assert send("PATCH", f"/Groups/{groups[0]['id']}", {"schemas": [PATCH], "Operations": operations}) in {204, 400, 409}
    assert source.get(f"/Users/{found[0]['id']}").status_code == 200


@CHECKS
@given(text=st.text(alphabet='()[]"\\ .:eqandornotprswgtactiveuserNameemails0123456789trufals-', max_size=40))
def test_no_filter_breaks_the_program(world: World, text: str) -> None:
    answer = ScimSource(world).get("/Users", filter=text)
    assert answer.status_code in {200, 400}


def test_one_of_two_who_are_added_at_once_under_one_name_is_refused(world: World) -> None:
    body = {"schemas": [USER], "userName": "marie.curie"}
    sources = [ScimSource(world) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(threads.map(lambda source: source.send("POST", "/Users", body).status_code, sources))
    assert statuses == [201, 409, 409, 409]


def test_person_is_cut_once_when_several_requests_say_so_at_once(world: World) -> None:
    source = ScimSource(world)
    person = source.add_user("marie.curie")
    source.add_group("tilleuls-ide", person["id"])
    sources = [ScimSource(world) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        statuses = list(threads.map(lambda one: one.disable(person["id"]).status_code, sources))
    assert statuses == [200] * 4
    with world.database.read() as tx:
        link = tx.links.get("rh", person["id"])
        assert link is not None
        assert len(tx.cuts.of_account(link.account_id)) == 1


def test_members_added_at_once_are_all_there(world: World) -> None:
    source = ScimSource(world)
    people = [source.add_user(f"personne.{number}")["id"] for number in range(6)]
    group = source.add_group("tilleuls-ide")

    def add(one: str) -> int:
        operation = {"op": "add", "path": "members", "value": [{"value": one}]}
        return ScimSource(world).patch(f"/Groups/{group['id']}", operation).status_code

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(add, people)) == [204] * 6
    assert {one["value"] for one in source.get(f"/Groups/{group['id']}").json()["members"]} == set(people)
    with world.database.read() as tx:
        assert all(tx.links.get("rh", one) is not None for one in people)


def test_source_cannot_place_people_beyond_its_own_rules(world: World) -> None:
    source = ScimSource(world)
    person = source.add_user("marie.curie", roles=["admin"], title="nurse")
    source.send("POST", "/Groups", {"schemas": [GROUP], "displayName": "nowhere-ide", "members": [{"value": person["id"]}]})
    source.send("POST", "/Groups", {"schemas": [GROUP], "displayName": "tilleuls-director", "members": [{"value": person["id"]}]})
    with world.database.read() as tx:
        assert tx.links.get("rh", person["id"]) is None


@pytest.mark.parametrize("path", ["/Users", "/Users/{}", "/{}", "/Groups/{}", "/Schemas/{}"])
def test_what_strangers_send_is_not_kept_in_the_trail(world: World, path: str) -> None:
    secret = "a-token-that-somebody-pasted-into-the-wrong-box"
    answer = ScimSource(world, secret).get(path.format(secret), filter=f'userName eq "{secret}"')
    assert answer.status_code == 401
    assert secret not in json.dumps(world.events("scim.refused"), default=str)
    assert secret not in answer.text


@pytest.mark.parametrize("depth", [50, 500, 900, 20_000])
def test_nothing_is_nested_so_deep_that_it_breaks_the_program(world: World, depth: int) -> None:
    source = ScimSource(world)
    person, group = source.add_user("marie.curie"), source.add_group("tilleuls-ide")
    deep = "[" * depth + "]" * depth
    sent = {
        ("POST", "/Users"): f'{{"schemas": [{deep}], "userName": "x"}}',
        ("PATCH", f"/Users/{person['id']}"): f'{{"schemas": ["{PATCH}"], "Operations": [{{"op": {deep}}}]}}',
        ("PATCH", f"/Groups/{group['id']}"): (
            f'{{"schemas": ["{PATCH}"], "Operations": [{{"op": "add", "path": "members", "value": [{{"value": "x", "type": {deep}}}]}}]}}'
        ),
        ("POST", "/.search"): f'{{"startIndex": {deep}}}',
    }
    for (method, path), body in sent.items():
        answer = source.client.request(method, f"/scim/v2{path}", content=body.encode(), headers=source.headers)
        assert answer.status_code == 400, (method, path)


@pytest.mark.parametrize("asked", ['type eq "User"', "value pr", 'not (value eq "x")', 'value co "0"', 'value eq "x" and type eq "User"'])
def test_members_are_chosen_by_their_ids_alone(world: World, asked: str) -> None:
    source = ScimSource(world)
    person = source.add_user("marie.curie")
    group = source.add_group("tilleuls-ide", person["id"])
    answer = source.patch(f"/Groups/{group['id']}", {"op": "remove", "path": f"members[{asked}]"})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter")
    assert [one["value"] for one in source.get(f"/Groups/{group['id']}").json()["members"]] == [person["id"]]


def test_some_members_are_removed_by_one_path(world: World) -> None:
    source = ScimSource(world)
    ids = [source.add_user(f"personne.{number}")["id"] for number in range(3)]
    group = source.add_group("tilleuls-ide", *ids)
    path = f'members[value eq "{ids[0]}" or value eq "{ids[2]}"]'
    assert source.patch(f"/Groups/{group['id']}", {"op": "remove", "path": path}).status_code == 204
    assert [one["value"] for one in source.get(f"/Groups/{group['id']}").json()["members"]] == [ids[1]]


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b", "é\\u0000"])
@pytest.mark.parametrize("name", ["id", "userName", "externalId", "title", "emails.value"])
def test_nobody_is_found_by_what_no_store_can_hold(world: World, name: str, text: str) -> None:
    answer = ScimSource(world).get("/Users", filter=f'{name} eq "{text}"')
    assert (answer.status_code, answer.json()["totalResults"]) == (200, 0)


@pytest.mark.parametrize("member", ["a\x00b", "a\ud800b", "", None, 7, {"value": ["x"]}, {"value": {"value": "x"}}])
def test_nobody_is_put_in_a_group_by_what_is_no_id(send: Callable[[str, str, Any], int], world: World, member: Any) -> None:
    group = ScimSource(world).add_group("tilleuls-ide")
    named = member if isinstance(member, dict) else {"value": member}
    for verb in ("add", "remove", "replace"):
        body = {"schemas": [PATCH], "Operations": [{"op": verb, "path": "members", "value": [named]}]}
        assert send("PATCH", f"/Groups/{group['id']}", body) == 400


@pytest.mark.parametrize("path", ["/Users/%00", "/Users/a%00b", "/%00", "/Users/%ED%A0%80", "/Users//x", "//Users", "/Users/a/b"])
def test_address_that_no_resource_has_is_not_there(world: World, path: str) -> None:
    source = ScimSource(world)
    assert source.client.delete(f"/scim/v2{path}", headers=source.headers).status_code in {404, 405}
    assert source.client.get(f"/scim/v2{path}", headers=source.headers).status_code in {200, 404}
