"""externalId as a lasting id: whoever comes by Office 365 and whom the same tenant provisions by SCIM are one Account, whichever was first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from idp.app import build, wsgi
from idp.config import load
from tests.conftest import MakeWorld
from tests.flows.refusal import issued
from tests.support.entra import Entra
from tests.support.entra_door import NAME, account_of, arrive, come_in, depart, open_door, provider_settings
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT
from tests.support.scim_source import USER, ScimSource, scim_settings
from tests.support.stores import Settings
from tests.support.world import ISSUER, World, write_config

Home = Callable[..., World]


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)


@pytest.fixture
def make_home(make_world: MakeWorld, entra: Entra, tmp_path: Path) -> Home:
    """A world whose nurses come by Office 365 and are provisioned by SCIM."""

    def make(scim: dict[str, Any] | None = None, **provider: Any) -> World:
        source = scim_settings(tmp_path, joins=NAME, **(scim or {}))
        return open_door(entra, make_world(providers=[provider_settings(entra, **provider)], scim=[source]))

    return make


@pytest.fixture
def home(make_home: Home) -> World:
    """One whose provider gives nothing by itself: the source alone says where people work."""
    return make_home(mapping=[])


def object_id(entra: Entra, name: str = "nadia") -> str:
    return entra.person(name).subject.partition("/")[2]


def test_person_who_was_provisioned_comes_in_by_office_and_is_cut_when_the_source_says_so(home: World, entra: Entra) -> None:
    source = ScimSource(home)
    person = source.add_user("nadia", externalId=object_id(entra), name={"givenName": "Nadia", "familyName": "Petit"})
    source.add_group("tilleuls-ide", person["id"])
    foreseen = account_of(home, entra.person("nadia"))
    assert foreseen is not None
    here = come_in(home, entra)
    assert here.tokens.claims["sub"] == foreseen.id
    assert here.party.userinfo(here.tokens.access).status_code == 200
    source.disable(person["id"])
    assert here.party.userinfo(here.tokens.access).status_code == 401
    browser = home.browser()
    page = arrive(browser, entra, depart(browser, home))
    assert page.callback is None  # Office 365 still says yes; the source has said no
    assert home.last_event("upstream.refused")["reason"] == "account_not_active"
    source.patch(f"/Users/{person['id']}", {"op": "Replace", "path": "active", "value": "True"})
    assert come_in(home, entra).tokens.claims["sub"] == foreseen.id


def test_person_who_came_by_office_first_is_recognised_when_provisioned(make_home: Home, entra: Entra) -> None:
    home = make_home()
    here = come_in(home, entra)
    source = ScimSource(home)
    person = source.add_user("nadia", externalId=object_id(entra).upper())
    with home.database.read() as tx:
        link = tx.links.get("rh", person["id"])
    assert link is not None
    assert (link.account_id, link.how, link.kind) == (here.tokens.claims["sub"], "immutable_id", "pushed")
    source.disable(person["id"])
    assert here.party.userinfo(here.tokens.access).status_code == 401


def test_person_who_is_provisioned_anew_is_who_they_were(home: World, entra: Entra) -> None:
    source = ScimSource(home)
    person = source.add_user("nadia", externalId=object_id(entra))
    group = source.add_group("tilleuls-ide", person["id"])
    before = come_in(home, entra).tokens.claims["sub"]
    assert source.send("DELETE", f"/Users/{person['id']}").status_code == 204
    again = source.add_user("nadia", externalId=object_id(entra))
    assert again["id"] == person["id"]
    source.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": again["id"]}]})
    assert come_in(home, entra).tokens.claims["sub"] == before


def test_external_id_must_be_the_lasting_id_and_stays(home: World, entra: Entra) -> None:
    source = ScimSource(home)
    for more in ({}, {"externalId": "nadia.petit"}):
        answer = source.send("POST", "/Users", {"schemas": [USER], "userName": "nadia", **more})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    person = source.add_user("nadia", externalId=object_id(entra))
    source.add_group("tilleuls-ide", person["id"])
    answer = source.patch(f"/Users/{person['id']}", {"op": "replace", "path": "externalId", "value": object_id(entra, "omar")})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "mutability")


def test_two_people_of_the_source_are_never_one_account(make_home: Home, entra: Entra) -> None:
    home = make_home()
    come_in(home, entra)
    source = ScimSource(home)
    source.add_user("nadia", externalId=object_id(entra))
    before = issued(home)
    answer = source.send("POST", "/Users", {"schemas": [USER], "userName": "another", "externalId": f"{{{object_id(entra)}}}"})
    assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")
    assert home.last_event("scim.refused")["reason"] == "linked_already"
    assert issued(home) == before
    assert source.get("/Users").json()["totalResults"] == 1


def test_tenant_of_the_people_is_the_one_that_the_settings_name(make_home: Home, entra: Entra) -> None:
    home = make_home({"joined_tenant": OTHER_TENANT}, tenants=[TENANT, OTHER_TENANT])
    here = come_in(home, entra)
    person = ScimSource(home).add_user("nadia", externalId=object_id(entra))
    with home.database.read() as tx:
        link = tx.links.get("rh", person["id"])
    assert link is None or link.account_id != here.tokens.claims["sub"]


def test_person_is_cut_although_the_join_was_asked_for_after_they_were_written(make_world: MakeWorld, entra: Entra, tmp_path: Path) -> None:
    world = make_world(scim=[scim_settings(tmp_path)])
    person = ScimSource(world).add_user("nadia", externalId="nadia.petit")
    ScimSource(world).add_group("tilleuls-ide", person["id"])
    write_config(world.folder, {"providers": [provider_settings(entra)], "scim": [scim_settings(tmp_path, joins=NAME)]}, stores_of(world))
    application = build(load(world.config_path), world.clock)
    source = ScimSource(httpx.Client(transport=httpx.WSGITransport(wsgi(application)), base_url=ISSUER))
    assert source.disable(person["id"]).status_code == 200
    with world.database.read() as tx:
        link = tx.links.get("rh", person["id"])
        assert link is not None
        account = tx.people.get(link.account_id)
    application.close()
    assert account is not None
    assert account.status == "suspended"


def stores_of(world: World) -> Settings:
    """Where the world's stores are, as its configuration says."""
    raw = yaml.safe_load(world.config_path.read_text(encoding="utf-8"))
    return {name: raw[name] for name in ("database", "ephemeral") if name in raw}
