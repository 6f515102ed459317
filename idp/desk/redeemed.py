"""What a browser may go on with once both halves of a Reset were given in it; a value, kept sealed and written as JSON.

Owns the value and its form. Who gets one, and what it opens, is idp/desk/redemption.py's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

_INSTANTS = frozenset({"until", "credential_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`needs_factor`: the person has a second factor that was not reset, and gives it before they choose a password. `credential_at`: of the password
    as carrying out has left it; another one since then is not overwritten. `pass_digest`: of the pass by which they add a factor.
    """

    reset_id: str
    account_id: str
    kind: Literal["password", "factor", "both"]
    source: str
    until: datetime
    needs_factor: bool = False
    has_given_factor: bool = False
    has_chosen: bool = False
    credential_at: datetime | None = None
    pass_digest: str | None = None

    @property
    def may_choose(self) -> bool:
        """Whether they may choose their password now."""
        return self.kind != "factor" and not self.has_chosen and (self.has_given_factor or not self.needs_factor)

    @property
    def may_enrol(self) -> bool:
        """Whether they may add their factor now: after the password, when that was reset too."""
        return self.kind == "factor" or (self.kind == "both" and self.has_chosen)

    def written(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(self).items()}

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Opened":
        """What `written` made."""
        found: dict[str, Any] = {one.name: raw[one.name] for one in fields(cls) if one.name in raw}
        for name in _INSTANTS & found.keys():
            found[name] = datetime.fromisoformat(found[name]) if found[name] else None
        return cls(**found)
