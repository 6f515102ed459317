"""The Entra connector's credential, a secret or a certificate, and what its check says of a broken setup, in plain words."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import CheckStep, SourceUnreachable
from connectors.entra.credential import ends_at
from connectors.entra.provider import EntraProvider
from connectors.entra.settings import EntraSettings
from tests.conftest import OpenEntra
from tests.support.certificates import PrivateAuthority
from tests.support.entra import Entra
from tests.support.entra_credential import make_certificate
from tests.support.entra_journey import CALLBACK, depart, sign_in
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT
from tests.support.fixed_clock import FixedClock

DAY = timedelta(days=1)
Steps = dict[str, CheckStep]


def check(provider: EntraProvider, callback_url: str | None = CALLBACK) -> Steps:
    return {step.title: step for step in provider.check(callback_url)}


def failed(steps: Steps) -> CheckStep:
    """The one that failed."""
    (found,) = [step for step in steps.values() if step.outcome == "failed"]
    return found


# The credential


@pytest.mark.parametrize("key_first", [False, True])
def test_certificate_signs_for_us(open_entra: OpenEntra, entra: Entra, clock: FixedClock, tmp_path: Path, key_first: bool) -> None:
    made = make_certificate(tmp_path, ends_at=clock.now() + 200 * DAY, key_first=key_first)
    entra.registration.secrets.clear()
    entra.registration.certificates[made.thumbprint] = made.public_key
    provider = open_entra(client_secret=None, certificate=str(made.file))
    arrival = sign_in(provider, entra)
    assert provider.renew(arrival.identity.subject, arrival.refresh_token or "").identity == arrival.identity
    assert ends_at(EntraSettings(**entra.settings(certificate=str(made.file)))) == clock.now() + 200 * DAY
    forms = [form for _, path, form in entra.requests if path.endswith("/token")]
    assert all("client_assertion" in form and "client_secret" not in form for form in forms)


def test_certificate_is_refused_when_it_is_not_registered(open_entra: OpenEntra, clock: FixedClock, entra: Entra, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, ends_at=clock.now() + DAY)
    with pytest.raises(SourceUnreachable, match="AADSTS700027") as caught:
        sign_in(open_entra(client_secret=None, certificate=str(made.file)), entra)
    assert caught.value.trouble == "service_account"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"key_of": "another"}, "not the certificate's"),
        ({"elliptic": True}, "RSA"),
        ({"passphrase": b"secret"}, "without a passphrase"),
    ],
)
def test_certificate_file_is_explained_when_it_is_wrong(
    open_entra: OpenEntra, entra: Entra, clock: FixedClock, tmp_path: Path, made: dict[str, Any], says: str
) -> None:
    file = make_certificate(tmp_path, ends_at=clock.now() + DAY, name="wrong", **made).file
    provider = open_entra(client_secret=None, certificate=str(file))
    assert ends_at(EntraSettings(**entra.settings(certificate=str(file)))) is None
    assert says in check(provider)["Our credential"].explanation
    with pytest.raises(SourceUnreachable):
        depart(provider)
    for text in (b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
        file.write_bytes(text)
        assert "PEM" in check(provider)["Our credential"].explanation
    file.unlink()
    assert "cannot read" in check(provider)["Our credential"].explanation


def test_end_of_the_secret_is_a_setting(entra: Entra, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)
    given = entra.settings(client_secret="env:ENTRA_SECRET")
    assert ends_at(EntraSettings(**given, client_secret_expires="2027-03-31")) == datetime(2027, 3, 31, tzinfo=UTC)
    assert ends_at(EntraSettings(**given)) is None


# What the check says


def test_check_says_what_is_right(open_entra: OpenEntra, entra: Entra) -> None:
    steps = check(open_entra(client_secret_expires="2027-11-01"))
    assert {step.outcome for step in steps.values()} == {"ok"}
    assert "342 days left" in steps["Our secret"].explanation
    assert CALLBACK in steps["Redirect URI"].explanation
    assert not any(SECRET in step.explanation for step in steps.values())
    assert not entra.codes  # nobody was signed in


def test_check_says_what_each_tenant_says(open_entra: OpenEntra, entra: Entra) -> None:
    steps = check(open_entra(tenants=[TENANT, OTHER_TENANT], client_secret_expires="2027-11-01"))
    assert steps[f"Tenant {TENANT}"].outcome == steps[f"Tenant {OTHER_TENANT}"].outcome == "ok"


@pytest.mark.parametrize(
    ("expires", "outcome", "says"),
    [
        ("2026-11-23", "failed", "ended on 2026-11-23"),
        ("2026-12-20", "warning", "in 26 days"),
        ("2026-12-24", "ok", "30 days left"),
        (None, "warning", "client_secret_expires"),
    ],
)
def test_check_warns_before_the_secret_ends(open_entra: OpenEntra, expires: str | None, outcome: str, says: str) -> None:
    step = check(open_entra(client_secret_expires=expires))["Our secret"]
    assert (step.outcome, says in step.explanation) == (outcome, True)


def _forget_the_secret(entra: Entra) -> None:
    entra.registration.secrets = {"another": datetime(2100, 1, 1, tzinfo=UTC)}


def _end_the_secret(entra: Entra) -> None:
    entra.registration.secrets[SECRET] = datetime(2026, 1, 1, tzinfo=UTC)


def _forget_the_tenant(entra: Entra) -> None:
    entra.tenants = {OTHER_TENANT}


def _forget_the_application(entra: Entra) -> None:
    entra.registration.client_id = "00000000-0000-4000-8000-000000000000"


def _forget_the_redirect_uri(entra: Entra) -> None:
    entra.registration.redirect_uris.clear()


def _disable_the_application(entra: Entra) -> None:
    entra.registration.enabled = False


def _be_ahead(entra: Entra) -> None:
    now = entra.now()
    entra.now = lambda: now + timedelta(minutes=10)


def _be_down(entra: Entra) -> None:
    entra.fail("openid-configuration", 503)


def _be_a_proxy(entra: Entra) -> None:
    entra.fail("openid-configuration", 200, body=b"<html>Authentification du proxy</html>")


def _hide_graph(entra: Entra) -> None:
    entra.fail("/v1.0/me", 404)


@pytest.mark.parametrize(
    ("broken", "title", "says"),
    [
        (_forget_the_secret, f"Tenant {TENANT}", ("AADSTS7000215", "value")),
        (_end_the_secret, f"Tenant {TENANT}", ("AADSTS7000222", "has expired", "client_secret_expires")),
        (_forget_the_tenant, "Tenant", ("AADSTS90002", "no such tenant")),
        (_disable_the_application, f"Tenant {TENANT}", ("AADSTS7000112", "disabled")),
        (_forget_the_redirect_uri, "Redirect URI", ("AADSTS50011", CALLBACK, "Authentication, Web")),
        (_be_ahead, "Clock", ("600 s behind", "NTP")),
        (_hide_graph, "graph", ("404", "`graph`")),
        (_be_down, "authority", ("503", "try again")),
        (_be_a_proxy, "authority", ("no JSON", "proxy")),
    ],
)
def test_check_says_what_is_wrong(
    open_entra: OpenEntra, entra: Entra, broken: Callable[[Entra], None], title: str, says: tuple[str, ...]
) -> None:
    provider = open_entra(client_secret_expires="2027-11-01")
    broken(entra)
    step = failed(check(provider))
    assert step.title == {"graph": entra.graph_url, "authority": entra.url}.get(title, title)
    for word in says:
        assert word in step.explanation


def test_check_says_that_the_application_is_unknown(open_entra: OpenEntra, entra: Entra) -> None:
    provider = open_entra(client_secret_expires="2027-11-01")
    _forget_the_application(entra)
    steps = check(provider)
    assert "AADSTS700016" in steps[f"Tenant {TENANT}"].explanation
    assert "client_id" in steps[f"Tenant {TENANT}"].explanation
    assert "AADSTS700016" in steps["Redirect URI"].explanation


def test_check_says_that_the_authority_of_the_certificate_is_unknown(open_entra: OpenEntra, entra: Entra, tmp_path: Path) -> None:
    wrong = PrivateAuthority(tmp_path / "wrong").ca_file
    step = failed(check(open_entra(ca_file=str(wrong), client_secret_expires="2027-11-01")))
    assert (step.title, "ca_file" in step.explanation) == (entra.url, True)
    step = failed(check(open_entra(ca_file=str(tmp_path / "none.pem"), client_secret_expires="2027-11-01")))
    assert "none.pem" in step.explanation
    step = failed(check(open_entra(authority="https://localhost:9", client_secret_expires="2027-11-01")))
    assert "`proxy`" in step.explanation


def test_check_warns_when_two_factors_cannot_be_asked(open_entra: OpenEntra) -> None:
    assert check(open_entra(mfa_context=None))["Two factors"].outcome == "warning"
