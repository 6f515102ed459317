"""Who may do what, written a second time by hand from what the project promises, for the tests to hold the program against.

Independent of policies/acts.py: the table of roles is spelled out, and the rules are said in other words. Nothing here is imported by the program.
"""

from dataclasses import dataclass

HELP = {"see_console", "find", "unlock", "reset_password", "reset_factor", "issue_pass", "end_sessions"}
EVERYTHING = HELP | {
    "suspend",
    "edit_account",
    "attach",
    "detach",
    "edit_place",
    "add_place",
    "read_audit",
    "approve",
    "manage_clients",
    "manage_sources",
    "manage_administrators",
}
TABLE: dict[str, set[str]] = {
    "group_administrator": EVERYTHING,
    "it_contact": HELP | {"suspend", "edit_account", "attach", "detach", "edit_place", "read_audit", "approve"},
    "helpdesk_agent": HELP,
    "director": {"see_console", "find", "end_sessions", "suspend", "read_audit", "approve"},
    "auditor": {"see_console", "find", "read_audit"},
    "on_call_approver": {"see_console", "approve"},
}
ONLY_LOOKS = {"see_console", "find", "read_audit"}
NEEDS_THE_WHOLE_GROUP = {"add_place", "manage_clients", "manage_sources", "manage_administrators"}
TOUCHES_THE_WHOLE_PERSON = {"suspend", "edit_account", "attach"}
# What the authority itself says; anything else is said by what would have been done.
REFUSALS = {"act_not_held", "act_on_oneself", "act_upwards", "act_outside_establishment", "act_on_break_glass"}

Holdings = frozenset[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody on whom: where they work now or will, what they hold, and whether they are the one who acts."""

    works_at: frozenset[str] = frozenset()
    holdings: Holdings = frozenset()
    is_self: bool = False
    is_break_glass: bool = False


def powers(holdings: Holdings, place: str | None) -> set[str]:
    """All that somebody may do at a place; in the whole group when that is None."""
    return {act for role, where in holdings if where is None or where == place for act in TABLE[role]}


def is_allowed(
    act: str, holdings: Holdings, *, target: Target | None = None, place: str | None = None, in_whole_group: bool = False
) -> bool:
    """Whether it may be done."""
    held_at = {where for role, where in holdings if act in TABLE[role]}
    is_held_everywhere = None in held_at
    if not held_at:
        return False
    if (act in NEEDS_THE_WHOLE_GROUP or in_whole_group) and not is_held_everywhere:
        return False
    if place is not None and not is_held_everywhere and place not in held_at:
        return False
    if target is None:
        return True
    if act == "detach" and place is not None and place not in target.works_at:
        return False
    if not is_held_everywhere:
        reached = target.works_at & held_at
        if act in TOUCHES_THE_WHOLE_PERSON:
            if target.works_at - held_at or (not target.works_at and act != "attach"):
                return False
        elif not reached:
            return False
    if act in ONLY_LOOKS:
        return True
    if target.is_self or target.is_break_glass:
        return False
    return all(TABLE[role] <= powers(holdings, where) for role, where in target.holdings)
