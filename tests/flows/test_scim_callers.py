"""Who may write by SCIM, and what a source may see: its own people alone. Each refusal has its Event, and nothing was written."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeWorld
from tests.support.scim_source import OTHER_TOKEN, PATCH, TOKEN, USER, ScimSource, scim_settings
from tests.support.world import ISSUER, World

RESOURCE = f"{ISSUER}/scim/v2"


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path) -> World:
    """Two sources; an application of the first's may write for it."""
    return make_world(scim=[scim_settings(tmp_path, clients=["carnet"]), scim_settings(tmp_path, "paie", OTHER_TOKEN)])


def give_scope(world: World, *scopes: str) -> None:
    """Register scopes for carnet."""
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        update = {"scopes": (*kept.settings.scopes, *scopes), "resources": (*kept.settings.resources, RESOURCE)}
        settings = kept.settings.model_copy(update=update)
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())


def is_written(world: World) -> bool:
    with world.database.read() as tx:
        return bool(tx.scim.count("rh", "User") + tx.scim.count("paie", "User"))


@pytest.mark.parametrize("token", ["short", TOKEN[:-1], f"{TOKEN}x", "a.b.c", "a b"])
def test_stranger_is_refused_and_writes_nothing(world: World, token: str) -> None:
    answer = ScimSource(world, token).send("POST", "/Users", {"schemas": [USER], "userName": "marie.curie"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    line = world.last_event("scim.refused")
    assert (line["reason"], line["actor"]) == ("invalid_token", "anonymous")
    assert token not in str(line["details"])
    assert not is_written(world)


def test_no_token_at_all_is_refused(world: World) -> None:
    answer = world.transport().get("/scim/v2/Users")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_both_tokens_are_taken_while_one_replaces_the_other(make_world: MakeWorld, tmp_path: Path) -> None:
    first, second = scim_settings(tmp_path), scim_settings(tmp_path, "suivant", OTHER_TOKEN)
    world = make_world(scim=[{**first, "tokens": [*first["tokens"], *second["tokens"]]}])
    ScimSource(world, TOKEN).add_user("marie.curie")
    assert world.last_event("scim.changed")["details"]["by"] == "token 1"
    assert ScimSource(world, OTHER_TOKEN).get("/Users").json()["totalResults"] == 1
    ScimSource(world, OTHER_TOKEN).add_user("pierre.curie")
    assert world.last_event("scim.changed")["details"]["by"] == "token 2"


def test_source_sees_and_changes_its_own_people_alone(world: World) -> None:
    ours, theirs = ScimSource(world), ScimSource(world, OTHER_TOKEN)
    person = ours.add_user("marie.curie")
    theirs.add_user("marie.curie")  # a login is unique within a source
    assert theirs.get(f"/Users/{person['id']}").status_code == 404
    assert theirs.disable(person["id"]).status_code == 404
    assert theirs.send("DELETE", f"/Users/{person['id']}").status_code == 404
    assert [one["id"] for one in theirs.get("/Users").json()["Resources"]] != [person["id"]]
    answer = theirs.send("POST", "/Groups", {"displayName": "tilleuls-ide", "members": [{"value": person["id"]}]})
    assert answer.status_code == 400
    assert ours.get(f"/Users/{person['id']}").json()["active"] is True
    line = world.last_event("scim.refused")
    assert line["connector"] == "paie"


def test_source_cannot_tell_anothers_resources_from_those_that_never_were(world: World) -> None:
    ours, theirs = ScimSource(world), ScimSource(world, OTHER_TOKEN)
    person = ours.add_user("marie.curie", externalId="0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef", emails=[{"value": "marie@tilleuls.test"}])
    group = ours.add_group("tilleuls-ide", person["id"])
    nobody = "0" * 26

    def both(method: str, path: str, real: str, body: Any = None) -> None:
        first, second = theirs.send(method, path.format(real), body), theirs.send(method, path.format(nobody), body)
        assert (first.status_code, first.text) == (second.status_code, second.text), (method, path)
        assert {*first.headers} == {*second.headers}

    active = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": False}]}
    for path, real in (("/Users/{}", person["id"]), ("/Groups/{}", group["id"])):
        for method, body in (("GET", None), ("PUT", {"userName": "x", "displayName": "x"}), ("PATCH", active), ("DELETE", None)):
            both(method, path, real, body)
    theirs_group = theirs.add_group("glycines-ide")
    for verb in ("add", "replace"):
        operation = {"op": verb, "path": "members", "value": [{"value": person["id"]}]}
        unknown = {"op": verb, "path": "members", "value": [{"value": nobody}]}
        first, second = (theirs.patch(f"/Groups/{theirs_group['id']}", one) for one in (operation, unknown))
        assert (first.status_code, first.text) == (second.status_code, second.text)
        assert first.status_code == 400
    for text in (
        f'id eq "{person["id"]}"',
        'userName eq "marie.curie"',
        'externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"',
        'emails.value eq "marie@tilleuls.test"',
        f'groups.value eq "{group["id"]}"',
        "userName pr",
    ):
        assert theirs.get("/Users", filter=text).json()["totalResults"] == 0, text
    assert theirs.get("/", filter='displayName eq "tilleuls-ide"').json()["totalResults"] == 0
    # Neither a login, a group's name nor an externalId of another source is taken.
    theirs.add_user("marie.curie", externalId="0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef")
    theirs.add_group("tilleuls-ide")
    with world.database.read() as tx:
        assert tx.scim.get("rh", "User", person["id"]) is not None
        assert tx.scim.member_ids(group["id"]) == {person["id"]}


def test_client_of_ours_writes_with_an_access_token_of_its_own(world: World) -> None:
    give_scope(world, "scim")
    party = world.relying_party("carnet")
    token = party.client_credentials(scope="scim", resource=RESOURCE).json()["access_token"]
    source = ScimSource(world, token)
    source.add_user("marie.curie")
    line = world.last_event("scim.changed")
    assert (line["connector"], line["details"]["by"]) == ("rh", "client carnet")
    party.revoke(token)
    assert source.get("/Users").status_code == 401
    token = party.client_credentials(scope="scim", resource=RESOURCE).json()["access_token"]
    world.clock.advance(world.config.tokens.access_token_life)
    assert ScimSource(world, token).get("/Users").status_code == 401


def test_access_token_without_the_scope_is_refused(world: World) -> None:
    give_scope(world, "scim")
    token = world.relying_party("carnet").client_credentials(scope="profile", resource=RESOURCE).json()["access_token"]
    answer = ScimSource(world, token).get("/Users")
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert world.last_event("scim.refused")["reason"] == "insufficient_scope"


def test_client_that_no_source_names_is_refused(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(scim=[scim_settings(tmp_path, clients=["autre"])])
    give_scope(world, "scim")
    token = world.relying_party("carnet").client_credentials(scope="scim", resource=RESOURCE).json()["access_token"]
    assert ScimSource(world, token).get("/Users").status_code == 403


def test_access_token_for_another_api_is_refused(world: World) -> None:
    give_scope(world, "scim")
    party = world.relying_party("carnet")
    (other,) = [one for one in party.registered.settings.resources if one != RESOURCE][:1]
    token = party.client_credentials(scope="scim", resource=other).json()["access_token"]
    assert ScimSource(world, token).get("/Users").status_code == 401


def test_access_token_of_a_person_is_refused(world: World) -> None:
    give_scope(world, "scim")
    here = world.sign_in(scope="openid scim")
    assert ScimSource(world, here.tokens.access).get("/Users").status_code == 401


def test_there_is_no_such_address_where_no_source_is_configured(make_world: MakeWorld) -> None:
    world = make_world()
    assert ScimSource(world).get("/Users").status_code == 404


def test_request_is_refused_when_its_body_is_too_large_or_of_another_type(world: World) -> None:
    source = ScimSource(world)
    answer = source.client.post("/scim/v2/Users", content=b" " * 3_000_000, headers=source.headers)
    assert answer.status_code == 413
    assert world.last_event("scim.refused")["reason"] == "too_large"
    answer = source.client.post("/scim/v2/Users", content=b"a=b", headers={**source.headers, "Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidSyntax")
    answer = source.client.post("/scim/v2/Users", content=b'{"userName": "' + b"a" * 200_000 + b'"}', headers=source.headers)
    assert (answer.status_code, answer.json()["status"]) == (413, "413")
    for body in (b"{", b"[]", b'"x"', b"null", b"\xff", b"[" * 100_000, b'{"userName": "a\\u0000b"}', b'{"userName": "a\\ud800b"}'):
        answer = source.client.post("/scim/v2/Users", content=body, headers=source.headers)
        assert answer.status_code == 400, body[:40]
    assert not is_written(world)


@pytest.mark.parametrize("number", ["--5", "+5", "-", "1_000", "1e3", "9" * 13, "²"])
def test_page_that_no_number_says_is_refused(world: World, number: str) -> None:
    answer = ScimSource(world).get("/Users", startIndex=number)
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")


def test_whoever_only_asks_what_would_come_is_told_without_it(world: World) -> None:
    source = ScimSource(world)
    person = source.add_user("marie.curie")
    answer = source.client.head(f"/scim/v2/Users/{person['id']}", headers=source.headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["ETag"] == source.get(f"/Users/{person['id']}").headers["ETag"]


def test_each_refusal_is_the_error_of_the_standard(world: World) -> None:
    source = ScimSource(world)
    source.add_user("marie.curie")
    refused = [
        source.send("POST", "/Users", {"schemas": [USER], "userName": "Marie.Curie"}),
        source.get("/Users", filter="x"),
        source.get("/Users/nobody"),
        source.send("POST", "/Bulk", {}),
        source.send("DELETE", "/Users"),
        source.get("/Schemas", filter='name eq "x"'),
        ScimSource(world, "x" * 40).get("/Users"),
    ]
    assert [one.status_code for one in refused] == [409, 400, 404, 501, 405, 403, 401]
    for answer in refused:
        body = answer.json()
        assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert body["status"] == str(answer.status_code)
        assert body["detail"]
        assert answer.headers["Content-Type"].startswith("application/scim+json")
        assert answer.headers["Cache-Control"] == "no-store"
    reasons = [line["reason"] for line in world.events("scim.refused")]
    assert sorted(reasons) == sorted(
        ["scim_conflict", "invalid_request", "scim_not_offered", "invalid_request", "invalid_request", "invalid_token"]
    )


@pytest.mark.parametrize("kind", ["application/scim+json", "application/json", "application/json; charset=utf-8", "APPLICATION/SCIM+JSON"])
def test_both_types_of_json_are_taken(world: World, kind: str) -> None:
    source = ScimSource(world)
    answer = source.send("POST", "/Users", {"schemas": [USER], "userName": "marie.curie"}, headers={"Content-Type": kind})
    assert answer.status_code == 201


def test_page_of_people_is_as_large_as_asked(world: World) -> None:
    source = ScimSource(world)
    ids = [source.add_user(f"personne.{number}")["id"] for number in range(5)]
    page = source.get("/Users", startIndex="2", count="2").json()
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (5, 2, 2)
    assert [one["id"] for one in page["Resources"]] == ids[1:3]
    page = source.get("/Users", startIndex="2", count="2", filter='userName sw "Personne"').json()
    assert (page["totalResults"], [one["id"] for one in page["Resources"]]) == (5, ids[1:3])
    assert source.get("/Users", count="0").json()["Resources"] == []
    assert source.get("/Users", count="some").status_code == 400
    named = source.get("/Users", attributes="userName", count="1").json()["Resources"][0]
    assert set(named) == {"schemas", "id", "userName"}
    wanted = source.send("POST", "/.search", {"filter": 'userName eq "personne.3"', "attributes": ["userName"]}).json()
    assert [one["id"] for one in wanted["Resources"]] == [ids[3]]


def test_filters_are_read_as_the_standard_has_them(world: World) -> None:
    source = ScimSource(world)
    marie = source.add_user(
        "marie.curie", title="IDE", emails=[{"value": "marie@a.test", "type": "work"}, {"value": "m@b.test", "type": "home"}]
    )
    pierre = source.add_user("pierre.curie", title="Aide")
    both, one, other, none = {marie["id"], pierre["id"]}, {marie["id"]}, {pierre["id"]}, set[str]()
    asked = {
        'title eq "ide"': one,
        'title ne "ide"': other,
        'userName ew ".curie"': both,
        'userName co "RRE"': other,
        'not (title eq "IDE")': other,
        'title eq "IDE" or title eq "Aide"': both,
        'title eq "IDE" and (userName sw "p" or userName sw "q")': none,
        'emails[type eq "work" and value co "@a.test"]': one,
        'emails[type eq "home" and value co "@a.test"]': none,
        'emails co "b.test"': one,
        "emails pr": one,
        "not (emails pr)": other,
        'meta.lastModified ge "2020-01-01T00:00:00Z"': both,
        'meta.lastModified lt "2020-01-01T00:00:00Z"': none,
        'urn:ietf:params:scim:schemas:core:2.0:User:userName eq "Marie.Curie"': one,
        'USERNAME EQ "marie.curie"': one,
        'locale eq "fr"': none,
    }
    for text, wanted in asked.items():
        found = source.get("/Users", filter=text)
        assert {line["id"] for line in found.json()["Resources"]} == wanted, text
    for text in (
        "",
        "title",
        'title is "x"',
        'shoes eq "39"',
        "(" * 40 + 'title eq "x"' + ")" * 40,
        'title eq "x',
        "title eq x",
        'active gt "',
        "] pr",
    ):
        answer = source.get("/Users", filter=text)
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter"), text
