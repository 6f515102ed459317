"""The stand-in for Entra itself, where the connector does not look yet: users/delta as Microsoft documents it, and the pages a browser is shown."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.entra import Entra
from tests.support.entra_people import CLIENT_ID, SECRET, TENANT

SELECT = "displayName,accountEnabled"


@pytest.fixture
def graph(entra: Entra) -> Iterator[httpx.Client]:
    """Graph with the application's own token."""
    with entra.browser() as client:
        form = {"client_id": CLIENT_ID, "client_secret": SECRET, "grant_type": "client_credentials", "scope": f"{entra.url}/.default"}
        token = client.post(f"{entra.url}/{TENANT}/oauth2/v2.0/token", data=form).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def read(graph: httpx.Client, url: str) -> tuple[list[dict[str, Any]], str]:
    """Every page, and the delta link at the end."""
    found: list[dict[str, Any]] = []
    while True:
        answer = graph.get(url).json()
        found += answer["value"]
        if "@odata.deltaLink" in answer:
            return found, answer["@odata.deltaLink"]
        url = answer["@odata.nextLink"]


def test_delta_tells_who_was_disabled_and_who_is_gone(entra: Entra, graph: httpx.Client) -> None:
    everybody, link = read(graph, f"{entra.graph_url}/users/delta?$select={SELECT}")
    assert {one["id"] for one in everybody} == {person.oid for person in entra.people if person.tenant == TENANT}
    assert all(set(one) == {"id", "displayName", "accountEnabled"} for one in everybody)
    assert read(graph, link) == ([], link)
    nadia, omar = entra.person("nadia"), entra.person("omar")
    nadia.enabled = False
    entra.directory.changes["users"] += [nadia.shown(), {"id": omar.oid, "@removed": {"reason": "changed"}}]
    changed, after = read(graph, link)
    assert changed == [
        {"id": nadia.oid, "displayName": "Nadia Petit", "accountEnabled": False},
        {"id": omar.oid, "@removed": {"reason": "changed"}},
    ]
    entra.directory.replays = True
    assert read(graph, after)[0] == [changed[-1]]


def test_delta_comes_page_by_page_and_ends_with_410(entra: Entra, graph: httpx.Client) -> None:
    _, link = read(graph, f"{entra.graph_url}/users/delta?$select={SELECT}")
    entra.directory.page_size = 2
    entra.directory.changes["users"] += [entra.person("nadia").shown() for _ in range(5)]
    changed, after = read(graph, link)
    assert len(changed) == 5
    entra.directory.is_expired = True
    answer = graph.get(after)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "syncStateNotFound")
    assert "users/delta" in answer.headers["Location"]


def test_delta_is_not_for_people(entra: Entra) -> None:
    token = entra.graph.give_token(entra.person("nadia"), TENANT, "User.Read")
    with entra.browser() as client:
        answer = client.get(f"{entra.graph_url}/users/delta", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


def test_names_of_groups_are_told_only_with_the_permission(entra: Entra) -> None:
    for scope, names in (
        ("User.Read", {None}),
        ("User.Read GroupMember.Read.All", {"tilleuls-ide", "tilleuls-medecin", "Helpdesk Administrator"}),
    ):
        token = entra.graph.give_token(entra.person("nadia"), TENANT, scope)
        with entra.browser() as client:
            answer = client.get(f"{entra.graph_url}/me/memberOf", headers={"Authorization": f"Bearer {token}"})
        assert {group["displayName"] for group in answer.json()["value"]} == names


def test_application_that_is_not_registered_sees_a_page_and_nothing_comes_back(entra: Entra) -> None:
    with entra.browser() as client:
        query = {"client_id": CLIENT_ID, "redirect_uri": "https://evil.example/"}
        answer = client.get(f"{entra.url}/{TENANT}/oauth2/v2.0/authorize", params=query)
    assert "AADSTS50011" in answer.text
    assert "evil.example" not in answer.text
