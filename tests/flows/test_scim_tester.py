"""scim2-tester, in full, against /scim/v2: every check that it has on discovery, people and groups succeeds, and none is passed over."""

from pathlib import Path

from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_tester import Status, check_server

from tests.conftest import MakeWorld
from tests.support.scim_source import TOKEN, scim_settings
from tests.support.world import ISSUER


def test_scim2_tester_finds_nothing_wrong(make_world: MakeWorld, tmp_path: Path) -> None:
    world = make_world(scim=[scim_settings(tmp_path)])
    client = WSGISCIMClient(world.wsgi, base_url=f"{ISSUER}/scim/v2", headers={"Authorization": f"Bearer {TOKEN}"})
    results = check_server(client)
    wrong = [f"{one.status.name} {one.resource_type} {one.title}: {one.reason}" for one in results if one.status is not Status.SUCCESS]
    assert wrong == []
    tags = {tag for one in results for tag in one.tags}
    assert {"discovery", "crud:create", "crud:read", "crud:update", "crud:delete", "patch:add", "patch:remove", "patch:replace"} <= tags
    assert {one.resource_type for one in results} >= {"User", "Group"}
