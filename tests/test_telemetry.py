"""No log line holds a secret, whoever wrote it; and each line is one JSON object."""

import json
import logging
import subprocess
import sys

import pytest

from idp.telemetry import ROUTES, is_secret_name, json_formatter, redact, route_of

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjbGFpcmUifQ.c2lnbmF0dXJl"
TOKEN = "q" * 43


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "access_token", "refreshToken", "code", "device_code", "client_secret", "Set-Cookie", "Authorization", "HTTP_COOKIE",
     "client_assertion", "code_verifier", "csrf_token", "nonce", "master_key", "identifier_hash"],
)  # fmt: skip
def test_log_hides_what_goes_by_a_secret_name(name: str) -> None:
    assert redact(None, "info", {name: "xyz"}) == {name: "[redacted]"}
    assert redact(None, "info", {"form": [{name: "xyz"}]}) == {"form": [{name: "[redacted]"}]}


@pytest.mark.parametrize("name", ["event", "reason", "status_code", "support_code", "client_id", "account_id", "route", "job", "detail"])
def test_log_shows_what_operators_need(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        f"token {JWT} refused", "Authorization: Bearer abcdefghijkl", "Basic Y2xhaXJlOnNlY3JldA==",
        f"cookie {TOKEN} unknown", f"vestibule_cs_{TOKEN}",
        "GET /callback?code=SplxlOBeZQ&state=af0ifjsldkj", "password=hunter22&x=1 in ?password=hunter22",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        "Set-Cookie: vestibule-session=abcdef; HttpOnly",
    ],
)  # fmt: skip
def test_log_hides_what_looks_like_a_secret_inside_a_text(text: str) -> None:
    cleaned = redact(None, "info", {"detail": text})["detail"]
    for secret in (JWT, "abcdefghijkl", "Y2xhaXJl", TOKEN, "SplxlOBeZQ", "af0ifj", "?password=hunter22", "aGFzaA", "abcdef;"):
        assert secret not in cleaned


def test_log_hides_secrets_in_tracebacks_and_in_the_lines_of_libraries() -> None:
    try:
        raise ValueError(f"cannot read {JWT}")
    except ValueError:
        record = logging.LogRecord("library", logging.ERROR, __file__, 1, "refused %s", (f"Bearer {TOKEN}",), sys.exc_info())
    line = json_formatter().format(record)
    shown = json.loads(line)
    assert JWT not in line
    assert TOKEN not in line
    assert (shown["level"], shown["logger"]) == ("error", "library")
    assert "ValueError" in shown["exception"]


def test_log_is_one_json_object_a_line_on_standard_error() -> None:
    program = (
        "import logging, structlog; from idp.telemetry import configure_logging; configure_logging('info');"
        "structlog.get_logger('a').info('said', password='x', text='two\\nlines'); logging.getLogger('b').warning('library');"
        "structlog.get_logger('a').debug('not said')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("said", "info"), ("library", "warning")]
    assert lines[0]["password"] == "[redacted]"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("path", "route"),
    [("/jwks", "/jwks"), ("/signin/abc", "/signin"), ("/static/a/b.css", "/static"), ("/wp-login.php", "other"), ("", "/"), ("//", "/")],
)
def test_routes_of_metrics_are_few_and_name_nobody(path: str, route: str) -> None:
    assert route_of(path) == route
    assert route == "other" or route in ROUTES
