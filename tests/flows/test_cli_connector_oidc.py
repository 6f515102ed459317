"""`vestibule connector check` for an upstream OpenID Provider, against a real node-oidc-provider: right, and wrong in what operators get wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.support.node_provider import MFA, NodeProvider, node_provider_serving
from tests.support.operator import Operator
from tests.support.processes import free_port


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProvider]:
    with node_provider_serving(tmp_path_factory.mktemp("node"), ["http://localhost:1/"]) as provider:
        yield provider


class Desk:
    """An operator who connects the provider."""

    def __init__(self, operator: Operator, node: NodeProvider, folder: Path) -> None:
        self.operator, self.node, self.folder = operator, node, folder

    def check(self, **changed: Any) -> Result:
        rule = {"group": "{establishment}-ide", "establishment": "{establishment}", "profile": "nurse"}
        settings = self.node.settings(**{"mapping": [rule], "mfa_acr": [MFA], **changed})
        self.operator.configure(providers=[{name: value for name, value in settings.items() if value is not None}])
        return self.operator.run("connector", "check", "amont")

    def register(self) -> str:
        """Our address, as the check names it, is registered there."""
        (line,) = [line for line in self.check().output.splitlines() if "Redirect address" in line]
        address = next(word for word in line.split() if "/upstream/amont/callback" in word)
        self.node.redirect_to(address)
        return address


@pytest.fixture
def desk(operator: Operator, node: NodeProvider, tmp_path: Path) -> Desk:
    return Desk(operator, node, tmp_path)


def test_operator_sees_each_step_when_all_is_well(desk: Desk) -> None:
    address = desk.register()
    result = desk.check()
    assert result.exit_code == 0, result.output
    assert "FAILED" not in result.output
    assert "warning " not in result.output.split("steps:")[0]
    for title in ("Metadata", "Keys", "Our credential", f"Redirect address: {address} is registered"):
        assert title in result.output


def test_operator_is_told_that_the_redirect_address_is_not_registered(desk: Desk) -> None:
    desk.node.redirect_to("http://localhost:1/")
    result = desk.check()
    assert result.exit_code == 1
    assert "register that address there, letter for letter" in result.output


@pytest.mark.parametrize(
    ("changed", "title", "says"),
    [
        ({"issuer": f"http://127.0.0.1:{free_port()}"}, "FAILED   Metadata", "Nobody answers there"),
        ({"issuer": "https://amont.invalid"}, "FAILED   Metadata", "DNS"),
        ({"client_id": "nobody"}, "FAILED   Our credential", "check `client_id`"),
        ({"client_secret": "wrong"}, "FAILED   Our credential", "a secret may have been replaced there"),
        ({"mfa_acr": ["urn:unheard-of"]}, "warning  Levels", "urn:unheard-of"),
        ({"scopes": ["openid", "unheard-of"]}, "warning  Scopes", "unheard-of"),
    ],
)
def test_operator_is_told_what_is_wrong(desk: Desk, changed: dict[str, Any], title: str, says: str) -> None:
    if "client_secret" in changed:
        file = desk.folder / "wrong-secret"
        file.write_text(changed["client_secret"], encoding="utf-8")
        changed = {"client_secret": f"file:{file}"}
    output = desk.check(**changed).output
    (line,) = [line for line in output.splitlines() if line.startswith(title)]
    assert says in line
    assert "un secret" not in output


def test_operator_is_told_of_the_slash_at_the_issuers_end(desk: Desk) -> None:
    output = desk.check(issuer=f"{desk.node.issuer}/", metadata_url=f"{desk.node.issuer}/.well-known/openid-configuration").output
    assert "letter for letter" in output
    assert f"not '{desk.node.issuer}/'" in output
