"""check-config on `sms` and `mail`: each mistake named at its place, before anybody waits for a code that never comes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from idp.config import check

BASE: dict[str, Any] = {
    "issuer": "https://connexion.example",
    "master_key": "env:TEST_MASTER_KEY",
    "server": {"trusted_proxies": ["127.0.0.1"]},
}
HTTP: dict[str, Any] = {
    "url": "https://sms.example.fr/send",
    "headers": {"X-Key": "{secret}"},
    "body": {"to": "{to}", "text": "{text}"},
    "secret": "env:TEST_SECRET",
}
MAIL: dict[str, Any] = {"host": "smtp.example.fr", "sender": "connexion@example.fr", "username": "u", "password": "env:TEST_SECRET"}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MASTER_KEY", "k" * 43)
    monkeypatch.setenv("TEST_SECRET", "s" * 20)


def found(folder: Path, **settings: Any) -> list[str]:
    """What check-config says of `sms` and `mail`."""
    path = folder / "vestibule.yaml"
    path.write_text(yaml.safe_dump({**BASE, **settings}), encoding="utf-8")
    return [str(finding) for finding in check(path)[1] if finding.path.startswith(("sms", "mail"))]


def test_operator_hears_nothing_of_settings_that_are_right(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    assert found(tmp_path, sms={"http": HTTP}, mail=MAIL) == []
    assert found(tmp_path, sms={"http": {**HTTP, "headers": {}, "username": "maison"}}) == []
    assert found(tmp_path, issuer="http://127.0.0.1:8400", demo=True, sms={"file": "sms.jsonl"}) == []


@pytest.mark.parametrize(
    ("changed", "path", "words"),
    [
        ({"url": "http://sms.example.fr/send"}, "sms.http.url", "must use https"),
        ({"url": "https://{sender}.example.fr/"}, "sms.http.url", "fixed host"),
        ({"url": "https://me:secret@sms.example.fr/"}, "sms.http.url", "no login"),
        ({"url": "https://sms.example.fr/?key={secret}"}, "sms.http.url", "access log"),
        ({"url": "https://[sms/"}, "sms.http.url", "is not a URL"),
        ({"body": {"text": "{text}"}}, "sms.http.body", "whom to send to"),
        ({"body": {"to": "{to}"}}, "sms.http.body", "what to send"),
        ({"body": {"to": "{to}", "text": "{text}", "x": "{oops}"}}, "sms.http.body", "{oops} stands for nothing"),
        ({"headers": {"X-Key": "{secret}", "X-Text": "{text}"}}, "sms.http.headers.X-Text", "cannot stand in a header"),
        ({"headers": {"X-Key": "{secret}", "X Y": "1"}}, "sms.http.headers.X Y", "is not a header"),
        ({"headers": {"X-Key": "{secret}\r\nX-Other: 1"}}, "sms.http.headers.X-Key", "is not a header"),
        ({"secret": None}, "sms.http.secret", "there is none"),
        ({"headers": {}}, "sms.http.secret", "used nowhere"),
        ({"username": "u", "secret": None, "headers": {}}, "sms.http.secret", "needed with a username"),
        ({"format": "form", "body": {"to": "{to}", "text": ["{text}"]}}, "sms.http.body", "no lists"),
        ({"method": "GET"}, "sms.http.format", "GET sends no body"),
        ({"format": "none"}, "sms.http.body", "is not sent"),
        ({"success": {"pattern": "("}}, "sms.http.success.pattern", "regular expression"),
        ({"success": {"statuses": []}}, "sms.http.success.statuses", "at least one"),
        ({"ca_file": "no-such.pem"}, "sms.http.ca_file", "cannot read"),
        ({"secret": "written-here"}, "sms.http.secret", "never in the configuration"),
    ],
)
def test_operator_hears_what_is_wrong_with_a_template(tmp_path: Path, changed: dict[str, Any], path: str, words: str) -> None:
    said = found(tmp_path, sms={"http": {**HTTP, **changed}})
    assert [line for line in said if line.startswith(f"error: {path}: ") and words in line], said


@pytest.mark.parametrize(
    ("sms", "path", "words"),
    [
        ({"file": "sms.jsonl"}, "sms.file", "only for an issuer on this machine"),
        ({"http": HTTP, "file": "sms.jsonl"}, "sms.file", "instead of sms.http"),
        ({"sender": "Résidence"}, "sms.sender", "pattern"),
        ({"sender": "Un nom bien trop long"}, "sms.sender", "pattern"),
        ({"prefixes": ["06"]}, "sms.prefixes[0]", "pattern"),
        ({"prefixes": []}, "sms.prefixes", "at least 1"),
        ({"daily_per_person": 50}, "sms.daily_per_person", "less than or equal to 10"),
        ({"price": -1}, "sms.price", "greater than or equal"),
    ],
)
def test_operator_hears_what_is_wrong_with_sms(tmp_path: Path, sms: dict[str, Any], path: str, words: str) -> None:
    said = found(tmp_path, sms=sms)
    assert [line for line in said if line.startswith(f"error: {path}: ") and words in line], said


@pytest.mark.parametrize(
    ("changed", "severity", "path", "words"),
    [
        ({"sender": None}, "error", "mail.sender", "is needed"),
        ({"sender": "Maison <a@example.fr>"}, "error", "mail.sender", "not an e-mail address"),
        ({"sender": "a@example.fr\r\nBcc: b@example.fr"}, "error", "mail.sender", "not an e-mail address"),
        ({"sender_name": "Maison\r\nBcc: b@example.fr"}, "error", "mail.sender_name", "on one line"),
        ({"security": "none"}, "error", "mail.security", "only for a server on this machine"),
        ({"host": "localhost", "security": "none"}, "error", "mail.username", "never said without TLS"),
        ({"password": None}, "error", "mail.password", "a username and a password"),
        ({"username": None}, "error", "mail.username", "a username and a password"),
        ({"port": 465}, "warning", "mail.port", "does not go with starttls"),
        ({"ca_file": "no-such.pem"}, "error", "mail.ca_file", "cannot read"),
        ({"host": "smtp.example.fr:25"}, "error", "mail.host", "pattern"),
    ],
)
def test_operator_hears_what_is_wrong_with_mail(tmp_path: Path, changed: dict[str, Any], severity: str, path: str, words: str) -> None:
    said = found(tmp_path, mail={**MAIL, **changed})
    assert [line for line in said if line.startswith(f"{severity}: {path}: ") and words in line], said


def test_operator_is_warned_of_a_cap_that_counts_nothing(tmp_path: Path) -> None:
    assert "sms.price" in found(tmp_path, sms={"http": HTTP, "price": 0})[0]
    assert found(tmp_path, sms={"http": HTTP, "price": 0, "monthly_cap": None}) == []
    assert "reached first" in found(tmp_path, sms={"http": HTTP, "monthly_cap": 10, "monthly_cap_establishment": 20})[0]
