"""Who may run which commands: users of the operating system, mapped to the roles of the console. The docstring under a field is its documentation."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from connectors.settings import Settings
from idp.config.findings import Finding
from idp.config.values import Slug
from policies.acts import ESTABLISHMENT_ONLY, GROUP_ADMINISTRATOR, GROUP_ONLY, RoleName

if TYPE_CHECKING:
    from idp.config.models import Config


class OperatorSettings(Settings):
    """What one user of the operating system may do by command. A user with several roles is named several times."""

    user: str = Field(min_length=1, max_length=64, pattern=r"^[^\s:/]+$")
    """Name in the operating system; through sudo, of the person behind it."""
    role: RoleName
    """One of the roles of the console; docs/reference/acts.md says which commands it opens."""
    establishment: Slug | None = None
    """Where the role is held. null: in the whole group."""
    account: str | None = Field(default=None, max_length=254)
    """The same person's own account, by id or identifier: nobody acts on themselves, by command either. null: none."""


def check_operators(config: "Config") -> Iterable[Finding]:
    """Roles where they cannot be held, repeated entries, and a list that leaves nobody who may do everything."""
    seen: set[tuple[str, str, str | None]] = set()
    for index, one in enumerate(config.operators):
        at = f"operators[{index}]"
        if one.role in GROUP_ONLY and one.establishment is not None:
            yield Finding("error", f"{at}.establishment", f"{one.role} is for the whole group")
        if one.role in ESTABLISHMENT_ONLY and one.establishment is None:
            yield Finding("error", f"{at}.establishment", f"{one.role} is for one establishment: name it")
        key = (one.user, one.role, one.establishment)
        if key in seen:
            yield Finding("error", at, f"{one.user} has this role already")
        seen.add(key)
    if config.operators and not any(one.role == GROUP_ADMINISTRATOR for one in config.operators):
        yield Finding("warning", "operators", "nobody listed may do everything: only a change of this file opens the other commands")
