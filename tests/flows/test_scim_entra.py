"""Microsoft Entra ID's provisioning, by the requests that its documentation shows, with and without the flag aadOptscim062020.

"Develop and plan provisioning for a SCIM endpoint", and "Known issues and resolutions with SCIM 2.0 protocol compliance".
"""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeWorld
from tests.support.scim_source import ENTERPRISE, GROUP, PATCH, USER, ScimSource, scim_settings
from tests.support.world import World

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
OBJECT_ID = "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"
LOGIN = "Test_User_00aa00aa-bb11-cc22-dd33-44ee44ee44ee"
NEW_USER = {
    "schemas": [USER, ENTERPRISE],
    "externalId": OBJECT_ID,
    "userName": LOGIN,
    "active": True,
    "emails": [{"primary": True, "type": "work", "value": "Test_User_11bb11bb-cc22-dd33-ee44-55ff55ff55ff@testuser.com"}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
    "roles": [],
}
NEW_GROUP = {
    "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
    "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
    "displayName": "displayName",
    "meta": {"resourceType": "Group"},
}


@pytest.fixture
def world(make_world: MakeWorld, tmp_path: Path) -> World:
    """A world that Entra provisions."""
    return make_world(scim=[scim_settings(tmp_path)])


@pytest.fixture
def entra_id(world: World) -> ScimSource:
    """Its provisioning service."""
    return ScimSource(world)


@pytest.fixture
def user(entra_id: ScimSource) -> dict[str, Any]:
    """The user that it created."""
    answer = entra_id.send("POST", "/Users", NEW_USER)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def read(entra_id: ScimSource, user: dict[str, Any]) -> dict[str, Any]:
    return dict(entra_id.get(f"/Users/{user['id']}").json())


def test_connection_is_tested_with_a_user_who_does_not_exist(entra_id: ScimSource) -> None:
    answer = entra_id.get("/Users", filter='userName eq "non-existent user"')
    assert answer.status_code == 200
    found = answer.json()
    assert (found["schemas"], found["totalResults"], found["Resources"], found["startIndex"]) == ([LIST], 0, [], 1)


def test_user_is_created_found_and_read(entra_id: ScimSource, user: dict[str, Any]) -> None:
    assert {"userName": LOGIN, "externalId": OBJECT_ID, "active": True}.items() <= user.items()
    assert user["name"] == NEW_USER["name"]
    assert (user["emails"], user["meta"]["resourceType"]) == (NEW_USER["emails"], "User")
    assert user["meta"]["location"].endswith(f"/scim/v2/Users/{user['id']}")
    assert read(entra_id, user) == user
    for asked in (
        f'userName eq "{LOGIN.lower()}"',
        f'externalId eq "{OBJECT_ID}"',
        'emails[type eq "work"].value eq "test_user_11bb11bb-cc22-dd33-ee44-55ff55ff55ff@testuser.com"',
        f'id eq "{user["id"]}" and active eq "True"',
    ):
        found = entra_id.get("/Users", filter=asked).json()
        assert (found["totalResults"], [one["id"] for one in found["Resources"]]) == (1, [user["id"]]), asked


def test_user_who_is_not_there_is_answered_404_with_an_error(entra_id: ScimSource) -> None:
    answer = entra_id.get("/Users/5171a35d82074e068ce2")
    assert answer.status_code == 404
    assert (answer.json()["schemas"], answer.json()["status"]) == (["urn:ietf:params:scim:api:messages:2.0:Error"], "404")


def test_several_and_single_values_are_updated(entra_id: ScimSource, user: dict[str, Any]) -> None:
    answer = entra_id.patch(
        f"/Users/{user['id']}",
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updatedEmail@microsoft.com"},
        {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
    )
    assert answer.status_code == 200
    assert answer.json()["emails"] == [{"primary": True, "type": "work", "value": "updatedEmail@microsoft.com"}]
    assert answer.json()["name"]["familyName"] == "updatedFamilyName"
    login = "5b50642d-79fc-4410-9e90-4c077cdd1a59@testuser.com"
    answer = entra_id.patch(f"/Users/{user['id']}", {"op": "Replace", "path": "userName", "value": login})
    assert (answer.status_code, answer.json()["userName"]) == (200, login)


@pytest.mark.parametrize(("op", "value"), [("Replace", False), ("Replace", "False"), ("replace", False), ("Add", "False")])
def test_user_is_disabled(entra_id: ScimSource, user: dict[str, Any], op: str, value: object) -> None:
    answer = entra_id.patch(f"/Users/{user['id']}", {"op": op, "path": "active", "value": value})
    assert (answer.status_code, answer.json()["active"]) == (200, False)
    assert entra_id.get("/Users", filter="active eq false").json()["totalResults"] == 1
    assert entra_id.get("/Users", filter='active eq "True"').json()["totalResults"] == 0


def test_single_value_is_added(entra_id: ScimSource, user: dict[str, Any]) -> None:
    for op in ("Add", "add"):
        answer = entra_id.patch(f"/Users/{user['id']}", {"op": op, "path": "nickName", "value": "Babs"})
        assert (answer.status_code, answer.json()["nickName"]) == (200, "Babs")


def test_many_attributes_are_replaced_without_the_flag(entra_id: ScimSource, user: dict[str, Any]) -> None:
    answer = entra_id.patch(
        f"/Users/{user['id']}",
        {"op": "Replace", "path": "displayName", "value": "Pvlo"},
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "TestBcwqnm@test.microsoft.com"},
        {"op": "Replace", "path": "name.givenName", "value": "Gtfd"},
        {"op": "Replace", "path": "name.familyName", "value": "Pkqf"},
        {"op": "Replace", "path": "externalId", "value": "Eqpj"},
        {"op": "Replace", "path": f"{ENTERPRISE}:employeeNumber", "value": "Eqpj"},
    )
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["displayName"], changed["externalId"], changed[ENTERPRISE]) == ("Pvlo", "Eqpj", {"employeeNumber": "Eqpj"})
    assert (changed["name"]["givenName"], changed["name"]["familyName"]) == ("Gtfd", "Pkqf")
    assert changed["emails"][0]["value"] == "TestBcwqnm@test.microsoft.com"


def test_many_attributes_are_replaced_with_the_flag(entra_id: ScimSource, user: dict[str, Any]) -> None:
    answer = entra_id.patch(
        f"/Users/{user['id']}",
        {"op": "replace", "path": 'emails[type eq "work"].value', "value": "TestMhvaes@test.microsoft.com"},
        {
            "op": "replace",
            "value": {
                "displayName": "Bjfe",
                "name.givenName": "Kkom",
                "name.familyName": "Unua",
                f"{ENTERPRISE}:employeeNumber": "Aklq",
            },
        },
    )
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["displayName"], changed["name"]["givenName"], changed["name"]["familyName"]) == ("Bjfe", "Kkom", "Unua")
    assert (changed[ENTERPRISE], changed["emails"][0]["value"]) == ({"employeeNumber": "Aklq"}, "TestMhvaes@test.microsoft.com")


def test_values_that_are_not_there_yet_are_made_as_the_default_mapping_adds_them(entra_id: ScimSource, user: dict[str, Any]) -> None:
    answer = entra_id.patch(
        f"/Users/{user['id']}",
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "06 00 00 00 01"},
        {"op": "Add", "path": 'phoneNumbers[type eq "work"].value', "value": "04 00 00 00 02"},
        {"op": "Add", "path": 'addresses[type eq "work"].streetAddress', "value": "1 rue des Lilas"},
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": [{"$ref": "", "value": user["id"]}]},
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Nuit"},
        {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "ide"},
    )
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["phoneNumbers"] == [{"type": "mobile", "value": "06 00 00 00 01"}, {"type": "work", "value": "04 00 00 00 02"}]
    assert changed[ENTERPRISE] == {"manager": {"value": user["id"]}, "department": "Nuit"}
    assert changed["roles"] == [{"primary": True, "value": "ide"}]
    assert "addresses" not in changed  # where somebody lives is nobody's business here
    answer = entra_id.patch(f"/Users/{user['id']}", {"op": "Remove", "path": 'phoneNumbers[type eq "mobile"].value'})
    assert [one.get("value") for one in answer.json()["phoneNumbers"]] == [None, "04 00 00 00 02"]


def test_user_is_deleted(entra_id: ScimSource, user: dict[str, Any]) -> None:
    assert entra_id.send("DELETE", f"/Users/{user['id']}").status_code == 204
    assert entra_id.get(f"/Users/{user['id']}").status_code == 404


def test_group_is_created_read_renamed_and_deleted(entra_id: ScimSource) -> None:
    answer = entra_id.send("POST", "/Groups", NEW_GROUP)
    assert answer.status_code == 201
    group = answer.json()
    assert (group["displayName"], group["externalId"], group["schemas"]) == ("displayName", NEW_GROUP["externalId"], [GROUP])
    assert entra_id.get(f"/Groups/{group['id']}", excludedAttributes="members").json()["displayName"] == "displayName"
    found = entra_id.get("/Groups", excludedAttributes="members", filter='displayName eq "displayName"').json()
    assert [one["id"] for one in found["Resources"]] == [group["id"]]
    name = "1879db59-3bdf-4490-ad68-ab880a269474updatedDisplayName"
    assert entra_id.patch(f"/Groups/{group['id']}", {"op": "Replace", "path": "displayName", "value": name}).status_code == 204
    assert entra_id.get(f"/Groups/{group['id']}").json()["displayName"] == name
    assert entra_id.send("DELETE", f"/Groups/{group['id']}").status_code == 204
    assert entra_id.get(f"/Groups/{group['id']}").status_code == 404


@pytest.mark.parametrize("flag", [False, True])
def test_members_are_added_and_removed_in_both_forms(entra_id: ScimSource, user: dict[str, Any], flag: bool) -> None:
    group = entra_id.send("POST", "/Groups", NEW_GROUP).json()
    path = f"/Groups/{group['id']}"
    answer = entra_id.patch(path, {"op": "Add", "path": "members", "value": [{"$ref": None, "value": user["id"]}]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert [one["value"] for one in entra_id.get(path).json()["members"]] == [user["id"]]
    assert "members" not in entra_id.get(path, excludedAttributes="members").json()
    is_member = f'id eq "{group["id"]}" and members eq "{user["id"]}"'
    assert entra_id.get("/Groups", filter=is_member).json()["totalResults"] == 1
    assert [one["display"] for one in read(entra_id, user)["groups"]] == ["displayName"]
    with_flag = {"op": "remove", "path": f'members[value eq "{user["id"]}"]'}
    without = {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": user["id"]}]}
    assert entra_id.patch(path, with_flag if flag else without).status_code == 204
    assert entra_id.get("/Groups", filter=is_member).json()["totalResults"] == 0
    assert "members" not in entra_id.get(path).json()


def test_nobody_is_added_to_a_group_whom_the_source_never_wrote(entra_id: ScimSource) -> None:
    group = entra_id.send("POST", "/Groups", NEW_GROUP).json()
    answer = entra_id.patch(f"/Groups/{group['id']}", {"op": "Add", "path": "members", "value": [{"value": "f648f8d5ea4e4cd38e9c"}]})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")


def test_schemas_are_discovered(entra_id: ScimSource) -> None:
    found = entra_id.get("/Schemas").json()
    assert found["schemas"] == [LIST]
    assert {USER, GROUP, ENTERPRISE} <= {one["id"] for one in found["Resources"]}
    assert all(value is not None for one in found["Resources"] for attribute in one["attributes"] for value in attribute.values())
    offered = entra_id.get("/ServiceProviderConfig").json()
    assert (offered["patch"]["supported"], offered["bulk"]["supported"], offered["filter"]["supported"]) == (True, False, True)
    assert entra_id.send("POST", "/Bulk", {"schemas": [PATCH]}).status_code == 501
