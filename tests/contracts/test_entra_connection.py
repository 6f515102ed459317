"""The Entra connector's connections, and settings that cannot be right."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.base import (
    SourceUnreachable,
)
from tests.conftest import OpenEntra
from tests.support.certificates import PrivateAuthority
from tests.support.entra import Entra, entra_serving
from tests.support.entra_journey import depart, renew, sign_in

# The connection


def test_variables_of_the_environment_change_nothing(
    open_entra: OpenEntra, entra: Entra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = PrivateAuthority(tmp_path / "wrong").ca_file
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(wrong))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("MSAL_FORCE_REGION", "westeurope")
    assert sign_in(open_entra(), entra).identity
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(entra.authority.ca_file))
    with pytest.raises(SourceUnreachable) as caught:
        depart(open_entra(ca_file=str(wrong)))
    assert caught.value.trouble == "tls_untrusted"


@pytest.mark.parametrize(("which", "trouble"), [("expired", "tls_expired"), ("another", "tls_name")])
def test_wrong_certificate_is_named(open_entra: OpenEntra, tmp_path: Path, which: str, trouble: str) -> None:
    authority = PrivateAuthority(tmp_path / "own")
    certificate = authority.sign_expired() if which == "expired" else authority.sign_for_another()
    with entra_serving(tmp_path / "served", certificate) as other:
        provider = open_entra(authority=other.url, graph=other.graph_url, ca_file=str(authority.ca_file))
        with pytest.raises(SourceUnreachable) as caught:
            depart(provider)
    assert caught.value.trouble == trouble


def test_nobody_there_is_named(open_entra: OpenEntra) -> None:
    with pytest.raises(SourceUnreachable) as caught:
        depart(open_entra(authority="https://localhost:9", graph="https://localhost:9/v1.0"))
    assert caught.value.trouble == "refused"


def test_server_that_hangs_is_given_up_in_time(open_entra: OpenEntra, entra: Entra) -> None:
    entra.fail("openid-configuration", -1)
    with pytest.raises(SourceUnreachable) as caught:
        depart(open_entra(timeout="200ms"))
    assert caught.value.trouble == "timeout"


def test_people_are_not_mixed_up_when_many_come_at_once(open_entra: OpenEntra, entra: Entra) -> None:
    provider = open_entra()
    arrivals = {name: sign_in(provider, entra, name) for name in ("nadia", "omar")}

    def ask(name: str) -> bool:
        come = sign_in(provider, entra, name)
        again = renew(provider, arrivals[name])
        return come.identity.subject == again.identity.subject == entra.person(name).subject

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, ["nadia", "omar"] * 8))


# Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenants": []},
        {"tenants": ["contoso.onmicrosoft.com"]},
        {"tenants": ["common"]},
        {"client_id": "carnet"},
        {"authority": "http://login.microsoftonline.com"},
        {"graph": "http://graph.microsoft.com/v1.0"},
        {"mfa_context": "c100"},
        {"mfa_context": "mfa"},
        {"client_secret": None},
        {"certificate": "a.pem"},
        {"attributes": ["department,manager"]},
    ],
)
def test_settings_are_refused_when_they_cannot_be_right(open_entra: OpenEntra, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        open_entra(**wrong)
