"""Settings of the reset desk. The docstring under a field is its documentation; the rules they set are policies/resets.py's.

Owns ResetSettings. Sources: CNIL 2017-012 as kept in 2022-100 (24 hours at most; no secret question), requirements R14 to R16 and R62 to R67.
"""

from datetime import time, timedelta
from typing import Literal

from pydantic import Field, field_validator, model_validator

from connectors.settings import Duration, Settings
from idp.config.values import Slug
from policies.resets import ALWAYS, Mode, ResetRules, Why


class ResetModeSettings(Settings):
    """Who may begin a reset, somewhere and of some accounts."""

    establishment: Slug | None = None
    """The establishment; null: all of them."""
    source: str | None = Field(default=None, min_length=1, max_length=60)
    """Whose passwords: local, or a directory's name; null: all."""
    mode: Mode
    """admin: an agent does it, nobody asks on the page. admin+email_code: the person may ask on the page, an agent does it, the second code goes by
    e-mail. self: the person does it alone, with the second factor they still have and a code by e-mail; otherwise as before."""


class NightSettings(Settings):
    """When an establishment sleeps, by its own clock."""

    begins: time = time(21)
    """First minute of the night."""
    ends: time = time(7)
    """First minute of the day. The same as `begins`: there is no night."""


class ResetSettings(Settings):
    """Resets: of passwords and second factors, by an agent or by the person."""

    modes: tuple[ResetModeSettings, ...] = ()
    """Who may begin; the entry that says most of the establishment and the source wins, the establishment first. None: admin everywhere."""
    spoken_life: Duration = Field(default=timedelta(minutes=30), ge=timedelta(minutes=5), le=timedelta(minutes=30))
    """How long the half that the agent says or prints may be used; it can be said again once."""
    sms_life: Duration = Field(default=timedelta(minutes=30), ge=timedelta(minutes=5), le=timedelta(minutes=30))
    """How long the half sent by SMS, or shown to a witness, may be used."""
    email_life: Duration = Field(default=timedelta(hours=24), ge=timedelta(minutes=15), le=timedelta(hours=24))
    """How long the half sent by e-mail may be used."""
    request_life: Duration = Field(default=timedelta(hours=24), ge=timedelta(hours=1), le=timedelta(hours=72))
    """A request that nobody has carried out ends after this."""
    channel_age: Duration = Field(default=timedelta(days=7), ge=timedelta(days=7))
    """A half is only sent to an address or a number that has been the same for this long."""
    detail_age: Duration = Field(default=timedelta(hours=72), ge=timedelta(hours=72))
    """An address or a number younger than this serves neither to ask nor to call back."""
    second_person: tuple[Literal["both", "privileged", "no_factor", "night"], ...] = ("both", "privileged", "no_factor", "night")
    """When a second person must approve: both password and factor at once, an administrator's account, a password that is all they had, at night.
    `both` and `privileged` always do."""
    approval: Literal["passkey", "any_factor"] = "passkey"
    """With what an approver has just confirmed who they are."""
    night: NightSettings = NightSettings()
    """When an establishment sleeps: then the group's on-call approvers are told of what waits for approval."""
    escalate_after: Duration = Field(default=timedelta(minutes=15), ge=timedelta(minutes=1), le=timedelta(hours=24))
    """A request that waits for somebody this long is told to the establishment's contact and the group's administrators."""
    own_requests_a_day: int = Field(default=3, ge=1, le=20)
    """How often a person may ask on the page in 24 hours; more are not kept, and the page says the same."""
    secret_question: object | None = None
    """Not offered, whatever is written: answers are guessed or found (CNIL 2022-100 no longer recommends it)."""

    @field_validator("secret_question")
    @classmethod
    def _is_not_asked(cls, value: object) -> object:
        if value is not None:
            raise ValueError(
                "secret questions are refused: their answers are known to relatives and colleagues, or found (CNIL délibération 2022-100)"
            )
        return value

    @model_validator(mode="after")
    def _is_sound(self) -> "ResetSettings":
        seen = [(one.establishment, one.source) for one in self.modes]
        if len(set(seen)) != len(seen):
            raise ValueError("modes: two entries are for the same establishment and source")
        return self

    @property
    def rules(self) -> ResetRules:
        """As policies/resets.py judges by them."""
        return ResetRules(
            second_person=frozenset(Why(one) for one in self.second_person) | ALWAYS,
            night_from=self.night.begins,
            night_until=self.night.ends,
            channel_age=self.channel_age,
            detail_age=self.detail_age,
            approves_by_passkey=self.approval == "passkey",
        )

    def mode_of(self, slug: str, source: str) -> Mode:
        """Who may begin a reset there, of that source's passwords."""
        fitting = [one for one in self.modes if one.establishment in {None, slug} and one.source in {None, source}]
        best = max(fitting, key=lambda one: (one.establishment is not None, one.source is not None), default=None)
        return best.mode if best is not None else "admin"
