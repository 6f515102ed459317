"""What an operator sees of a registration in Entra: `connector check` in plain words, `check-config`, and the days that its credential still has."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.work import Worker
from tests.conftest import MakeWorld
from tests.support.certificates import PrivateAuthority
from tests.support.entra import Entra
from tests.support.entra_credential import make_certificate
from tests.support.entra_door import CALLBACK, NAME, NURSES, provider_settings
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT
from tests.support.operator import Operator

ISSUER = "http://localhost:8000"
TWO = [TENANT, OTHER_TENANT]
IN_A_YEAR = (datetime.now(UTC) + timedelta(days=365)).date()


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)


@pytest.fixture
def microsoft(entra: Entra) -> Entra:
    """The stand-in by the real clock, as commands have it."""
    entra.reset()
    entra.registration.redirect_uris.add(f"{ISSUER}{CALLBACK}")
    return entra


def configure(operator: Operator, entra: Entra, **override: Any) -> None:
    given = {"client_secret_expires": IN_A_YEAR.isoformat(), **override}
    operator.configure(issuer=ISSUER, providers=[provider_settings(entra, **given)])


def rule(**said: Any) -> dict[str, Any]:
    return {"establishment": "tilleuls", "profile": "nurse", **said}


def failing(operator: Operator) -> str:
    """The lines of a check that must fail."""
    result = operator.run("connector", "check", NAME)
    assert result.exit_code == 1, result.output
    return "\n".join(line for line in result.output.splitlines() if line.startswith("FAILED"))


def test_operator_sees_each_step_when_all_is_well(operator: Operator, microsoft: Entra) -> None:
    configure(operator, microsoft)
    said = operator.do("connector", "check", NAME)
    assert "FAILED" not in said
    assert "0 with a warning" in said
    assert f"{ISSUER}{CALLBACK} is registered" in said
    assert SECRET not in said
    assert "office" in operator.do("connector", "list")


def test_operator_is_told_what_to_do_about_each_thing_that_is_wrong(operator: Operator, microsoft: Entra, tmp_path: Path) -> None:
    configure(operator, microsoft)
    registration = microsoft.registration
    registration.secrets = {"another": datetime(2100, 1, 1, tzinfo=UTC)}
    assert "AADSTS7000215" in failing(operator)
    registration.secrets = {SECRET: datetime(2020, 1, 1, tzinfo=UTC)}
    assert "AADSTS7000222" in failing(operator)
    registration.secrets = {SECRET: datetime(2100, 1, 1, tzinfo=UTC)}
    registration.redirect_uris.clear()
    assert "AADSTS50011. The redirect URI is not registered: add it to the application in Entra (Authentication, Web)" in failing(operator)
    registration.redirect_uris.add(f"{ISSUER}{CALLBACK}")
    microsoft.tenants = {"00000000-0000-4000-8000-000000000001"}
    assert "AADSTS90002" in failing(operator)
    microsoft.tenants = set(provider_settings(microsoft)["tenants"])
    microsoft.now = lambda: datetime.now(UTC) - timedelta(minutes=7)
    assert "Clock: this machine is 4" in failing(operator)
    microsoft.now = lambda: datetime.now(UTC)
    configure(operator, microsoft, ca_file=str(PrivateAuthority(tmp_path / "wrong").ca_file))
    assert "`ca_file`" in failing(operator)


def test_operator_is_warned_thirty_days_before_the_credential_ends(operator: Operator, microsoft: Entra) -> None:
    configure(operator, microsoft, client_secret_expires=(datetime.now(UTC) + timedelta(days=20)).date().isoformat())
    said = operator.do("connector", "check", NAME)
    assert "warning" in said
    assert "in 19 days" in said


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"tenants": ["common"]}, "providers[0].tenants[0]"),
        ({"tenants": []}, "providers[0].tenants"),
        ({"authority": "http://login.microsoftonline.com"}, "providers[0].authority"),
        ({"mfa_context": "oui"}, "providers[0].mfa_context"),
        ({"client_secret": None}, "a client_secret or a certificate"),
        ({"secret": "x"}, "providers[0].secret"),
    ],
)
def test_operator_is_told_of_settings_that_cannot_be_right(
    operator: Operator, microsoft: Entra, override: dict[str, Any], says: str
) -> None:
    configure(operator, microsoft, **override)
    result = operator.run("check-config")
    assert result.exit_code != 0
    assert says.replace(".entra", "") in result.output.replace(".entra", "")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"ca_file": "none.pem"}, "providers[0].ca_file: cannot read"),
        ({"client_secret": None, "client_secret_expires": None, "certificate": "none.pem"}, "providers[0].certificate: cannot read"),
        ({"mapping": [rule(group="tilleuls-ide")]}, "providers[0].mapping[0].group: the token holds ids of groups"),
        ({"mapping": [rule(group="tilleuls-ide")], "groups": "graph", "tenants": TWO}, "providers[0].mapping[0]: any of the tenants"),
        ({"mapping": [rule(role="IDE")], "tenants": TWO}, "providers[0].mapping[0]: any of the tenants"),
    ],
)
def test_operator_is_told_of_rules_and_files_that_lead_nowhere(
    operator: Operator, microsoft: Entra, override: dict[str, Any], says: str
) -> None:
    configure(operator, microsoft, **override)
    assert says in operator.run("check-config").output


def test_operator_is_told_nothing_when_a_rule_says_whose_group_it_is(operator: Operator, microsoft: Entra) -> None:
    configure(operator, microsoft, tenants=TWO, mapping=[rule(role="IDE", attributes={"tid": TENANT}), rule(group=NURSES)])
    assert "providers[0]" not in operator.do("check-config")


def test_days_that_a_credential_still_has_are_a_metric(make_world: MakeWorld, entra: Entra, tmp_path: Path) -> None:
    world = make_world(
        providers=[
            provider_settings(entra, client_secret_expires=date(2026, 12, 23).isoformat()),
            provider_settings(entra, name="autre", label="Autre"),
            provider_settings(entra, name="tiers", label="Tiers", client_secret=None, certificate=str(_certificate(tmp_path))),
        ]
    )
    Worker(world.application).measure()
    shown = world.application.metrics.render().decode()
    lines = {
        line.split(" ")[0]: float(line.split(" ")[1])
        for line in shown.splitlines()
        if line.startswith("vestibule_provider_credential_days{")
    }
    assert lines['vestibule_provider_credential_days{provider="office"}'] == pytest.approx(30 - 8 / 24)
    assert lines['vestibule_provider_credential_days{provider="tiers"}'] == pytest.approx(-2.0)
    assert len(lines) == 2  # nobody said when the other's ends


def _certificate(folder: Path) -> Path:
    return make_certificate(folder, ends_at=datetime(2026, 11, 21, 8, 0, tzinfo=UTC)).file
