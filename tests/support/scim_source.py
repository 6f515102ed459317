"""A source that writes to us by SCIM, as its provisioning service does: real requests, a bearer token, application/scim+json."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.support.world import World

TOKEN = "entra-provisions-4f7c2b9a61d04e53a8c7-and-more"
OTHER_TOKEN = "the-payroll-writes-91b3d7f05c2e48a6b8d1-and-more"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
RULES = ({"group": "{establishment}-ide", "establishment": "{establishment}", "profile": "nurse"},)


def scim_settings(folder: Path, name: str = "rh", token: str = TOKEN, **more: Any) -> dict[str, Any]:
    """An entry of `scim`, its token in a file of its own."""
    file = folder / f"{name}.token"
    file.write_text(token, encoding="utf-8")
    os.chmod(file, 0o600)
    return {"name": name, "tokens": [f"file:{file}"], "mapping": list(RULES), **more}


class ScimSource:
    """The provisioning service of one source."""

    def __init__(self, there: World | httpx.Client, token: str = TOKEN) -> None:
        self.client = there if isinstance(there, httpx.Client) else there.transport()
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json; charset=utf-8"}

    def send(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **query: str) -> httpx.Response:
        """One request below /scim/v2."""
        content = None if body is None else json.dumps(body).encode()
        return self.client.request(
            method, f"/scim/v2{path}", params=query or None, content=content, headers={**self.headers, **(headers or {})}
        )

    def get(self, path: str, **query: str) -> httpx.Response:
        """GET."""
        return self.send("GET", path, **query)

    def add_user(self, username: str, **more: Any) -> dict[str, Any]:
        """POST a User; what is answered."""
        answer = self.send("POST", "/Users", {"schemas": [USER], "userName": username, "active": True, **more})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def add_group(self, name: str, *members: str) -> dict[str, Any]:
        """POST a Group."""
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": one} for one in members]}
        answer = self.send("POST", "/Groups", body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def patch(self, path: str, *operations: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> httpx.Response:
        """PATCH with these operations."""
        return self.send("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, headers=headers)

    def disable(self, user_id: str) -> httpx.Response:
        """As Microsoft Entra ID does without its flag."""
        return self.patch(f"/Users/{user_id}", {"op": "Replace", "path": "active", "value": "False"})
