"""Where somebody is stuck, in a closed list, each with the one act that helps; what idp/desk/diagnosis.py answers with.

Owns the vocabulary alone. The descriptions are for commands and the reference; pages have their own words.
"""

from dataclasses import dataclass
from datetime import datetime

from idp.audit import Described, Reason
from policies.acts import Act


class Obstacle(Described):
    """What stands between a person and their sign-in, or soon may."""

    # Here
    ACCOUNT_SUSPENDED = "account_suspended", "The account was suspended by an administrator: reinstate it."
    ACCOUNT_CUT_BY_SOURCE = (
        "account_cut_by_source",
        "Their source said that they are gone or barred: they come back when it says otherwise.",
    )
    ACCOUNT_ENDED = "account_ended", "The account was ended for good: it does not come back."
    ACCOUNT_MERGED = "account_merged", "The account was merged into another of theirs: look there."
    NO_ATTACHMENT = "no_attachment", "They are not attached to the establishment: attach them."
    ATTACHMENT_NOT_BEGUN = "attachment_not_begun", "Their attachment begins later: change its first day if they work already."
    ATTACHMENT_ENDED = "attachment_ended", "Their attachment's last day is past: attach them again if they still work there."
    LOCKED_HERE = "locked_here", "Too many wrong passwords: closed here until somebody unlocks it."
    THROTTLED_HERE = "throttled_here", "Too many wrong passwords: they wait for a while, or are unlocked."
    FACTOR_BLOCKED = "factor_blocked", "Too many wrong codes: a kind of second factor is closed until somebody unlocks it, or for a while."
    NO_PASSWORD = "no_password", "They have no password here and no other way to sign in."
    PASSWORD_MUST_CHANGE = (
        "password_must_change",
        "Their password must be changed at the next sign-in: they need the present one, or a reset.",
    )
    NO_FACTOR = "no_factor", "A second factor is wanted of them and they have none: a one-time pass lets them add one."
    # In a directory
    DIRECTORY_LOCKED = "directory_locked", "The directory has locked them after wrong passwords."
    DIRECTORY_DISABLED = "directory_disabled", "The directory has disabled them: only its administrators enable them, in the directory."
    DIRECTORY_EXPIRED = "directory_expired", "Their directory account has expired: its administrators set a new date, in the directory."
    DIRECTORY_MUST_CHANGE = (
        "directory_must_change",
        "Their directory password must be changed at the next sign-in: they need the present one, or a reset.",
    )
    DIRECTORY_OUT_OF_SCOPE = "directory_out_of_scope", "Their directory entry is not one that the settings let in."
    DIRECTORY_GONE = "directory_gone", "The directory has no such entry any more."
    DIRECTORY_PROTECTED = (
        "directory_protected",
        "Nobody acts on them from here: they are privileged in the directory, or outside what was delegated to us.",
    )
    DIRECTORY_UNREACHABLE = "directory_unreachable", "The directory does not answer: what it would say of them is not known."
    DIRECTORY_MISBEHAVED = "directory_misbehaved", "The directory's answer cannot be believed; the log says why."
    DIRECTORY_NOT_CONFIGURED = "directory_not_configured", "The configuration has no such directory any more."
    # At a provider
    PROVIDER_REFUSES = "provider_refuses", "Their provider said that they are disabled or gone: its administrators act, there."
    PROVIDER_OWNS = "provider_owns", "They sign in at a provider: its password, its lock and its second factor are unlocked or reset there."
    # What happened lately
    WRONG_NETWORK = "wrong_network", "They were refused where they were; on the establishment's network they would not have been."
    REFUSED_LATELY = "refused_lately", "They were refused lately; the reason says why."


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One obstacle.

    `act` is the one that helps here, None when none does: then the words say where and by whom. Whether the agent may do it is not said.
    `is_blocking`: nobody gets past it; else it may hinder, or has passed. `source` names the directory or provider, None for us; `source_kind` is its
    `type` in the configuration ("" for us, or when it has none any more). `until`: when it passes by itself; `since`: when it began or happened.
    `kinds`: of second factors. `reason`, `support_code`, `zone` and `address`: of a refusal.
    """

    obstacle: Obstacle
    act: Act | None = None
    is_blocking: bool = True
    source: str | None = None
    source_kind: str = ""
    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()
    reason: Reason | None = None
    support_code: str = ""
    zone: str = ""
    address: str = ""
