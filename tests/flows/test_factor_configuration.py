"""The settings of second factors, as operators get them wrong."""

import pytest
from pydantic import ValidationError

from idp.config import FactorSettings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"offered": ["totp", "totp"]}, "each kind is named once"),
        ({"offered": ["carrier-pigeon"]}, "totp"),
        ({"waits": []}, "there is at least one"),
        ({"waits": ["2m", "1m"]}, "none is shorter"),
        ({"free_tries": 10, "block_after": 10}, "must be more than free_tries"),
        ({"recovery_codes": 2}, "greater than or equal to 6"),
        ({"enrol_pass_life": "60d"}, "less than or equal to"),
        ({"totp_issuer": "Groupe: nord"}, "pattern"),
        ({"recent": "1d"}, "less than or equal to"),
        ({"sms": True}, "Extra inputs"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        FactorSettings.model_validate(given)


def test_the_defaults_are_those_of_the_cnil() -> None:
    settings = FactorSettings()
    assert (settings.free_tries, settings.daily_cap) == (5, 25)
    assert [wait.total_seconds() / 60 for wait in settings.waits] == [1, 2, 4, 8, 15, 30]
