"""externalId as the lasting id of a directory: whoever signs in with OpenLDAP and whom a source provisions by SCIM are one Account."""

from pathlib import Path

import pytest

from tests.conftest import MakeWorld
from tests.flows.test_directory_standing import sign_in
from tests.support.scim_source import ScimSource, scim_settings
from tests.support.slapd import Slapd
from tests.support.world import World


@pytest.fixture
def home(make_world: MakeWorld, slapd: Slapd, tmp_path: Path) -> World:
    """The world's homes, their people in a directory, and a source that writes of the same people."""
    return make_world(directories=[slapd.settings()], scim=[scim_settings(tmp_path, joins="annuaire")])


def lasting_id(world: World, uid: str) -> str:
    """As the directory has it."""
    directory = world.application.directories.get("annuaire")
    assert directory is not None
    found = directory.look_up(uid)
    assert found is not None
    return found.subject


def test_person_of_the_directory_is_cut_when_the_source_says_so(home: World) -> None:
    here = sign_in(home)
    source = ScimSource(home)
    person = source.add_user("claire", externalId=lasting_id(home, "d.claire").upper())
    with home.database.read() as tx:
        link = tx.links.get("rh", person["id"])
    assert link is not None
    assert link.account_id == here.tokens.claims["sub"]
    assert home.application.directories.get("annuaire") is not None
    source.disable(person["id"])
    assert here.party.userinfo(here.tokens.access).status_code == 401
    assert home.last_event("account.suspended")["connector"] == "rh"


def test_person_who_was_provisioned_signs_in_with_the_directory(home: World) -> None:
    source = ScimSource(home)
    person = source.add_user("claire", externalId=lasting_id(home, "d.claire"))
    source.add_group("tilleuls-ide", person["id"])
    with home.database.read() as tx:
        link = tx.links.get("rh", person["id"])
    assert link is not None
    assert sign_in(home).tokens.claims["sub"] == link.account_id
    with home.database.read() as tx:
        account = tx.people.get(link.account_id)
    assert account is not None
    assert account.username == "d.claire"  # the directory says what people are called
