"""The settings of resets: what `vestibule check-config` says of them, and which mode holds where."""

from typing import Any

import pytest

from idp.config import ResetSettings
from tests.support.operator import Operator


def said(operator: Operator, resets: dict[str, Any]) -> str:
    """What check-config prints of a file with these settings."""
    operator.configure(resets=resets)
    result = operator.run("check-config")
    return result.stdout + result.stderr


def test_operator_who_asks_for_a_secret_question_is_refused_with_the_reason(operator: Operator) -> None:
    for value in ("Le nom de votre chien ?", True, False, ["a"]):
        text = said(operator, {"secret_question": value})
        assert "resets.secret_question" in text
        assert "CNIL" in text
    assert "secret_question" not in said(operator, {"secret_question": None})


@pytest.mark.parametrize(
    ("resets", "where"),
    [
        ({"modes": [{"establishment": "ailleurs", "mode": "self"}]}, "resets.modes[0].establishment"),
        ({"modes": [{"source": "office", "mode": "self"}]}, "resets.modes[0].source"),
        ({"modes": [{"mode": "question"}]}, "resets.modes[0].mode"),
        ({"modes": [{"mode": "self"}, {"mode": "admin"}]}, "resets"),
        ({"spoken_life": "31m"}, "resets.spoken_life"),
        ({"sms_life": "2h"}, "resets.sms_life"),
        ({"email_life": "25h"}, "resets.email_life"),
        ({"channel_age": "6d"}, "resets.channel_age"),
        ({"detail_age": "71h"}, "resets.detail_age"),
        ({"approval": "nothing"}, "resets.approval"),
    ],
)
def test_operator_who_would_loosen_a_reset_too_far_is_refused(operator: Operator, resets: dict[str, Any], where: str) -> None:
    establishments = [{"slug": "tilleuls", "name": "Les Tilleuls"}]
    operator.configure(resets=resets, establishments=establishments)
    result = operator.run("check-config")
    assert result.exit_code == 1, result.output
    assert where in result.output


def test_the_mode_that_says_most_wins_and_admin_holds_elsewhere() -> None:
    settings = ResetSettings.model_validate(
        {
            "modes": [
                {"mode": "admin+email_code"},
                {"source": "local", "mode": "self"},
                {"establishment": "tilleuls", "mode": "admin"},
                {"establishment": "tilleuls", "source": "annuaire", "mode": "admin+email_code"},
            ]
        }
    )
    assert settings.mode_of("glycines", "local") == "self"
    assert settings.mode_of("glycines", "annuaire") == "admin+email_code"
    assert settings.mode_of("tilleuls", "local") == "admin"
    assert settings.mode_of("tilleuls", "annuaire") == "admin+email_code"
    assert ResetSettings().mode_of("tilleuls", "local") == "admin"
