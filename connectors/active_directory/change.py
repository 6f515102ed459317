"""What a domain controller's answer to a password change means, in the words that a page has.

Pure. Samba says in words what it objects to; Windows says 0000052D of everything, and then the domain's own settings tell what it can be. Sources:
[MS-ADTS] 3.1.1.3.1.5 (unicodePwd), [MS-ERREF] 2.2.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from connectors.active_directory.state import Policy
from connectors.active_directory.values import instant, integer
from connectors.base import ChangeProblem, ChangeRefused
from connectors.ldap.wire import CONSTRAINT_VIOLATION, SUCCESS, UNWILLING, Answer, Entry

WRONG_CURRENT, RESTRICTION = "00000056", "0000052d"  # ERROR_INVALID_PASSWORD, ERROR_PASSWORD_RESTRICTION
BY_WORDS: tuple[tuple[re.Pattern[str], ChangeProblem], ...] = (
    (re.compile(r"history|already used", re.IGNORECASE), "reused"),
    (re.compile(r"too young", re.IGNORECASE), "too_young"),
    (re.compile(r"too short", re.IGNORECASE), "too_short"),
    (re.compile(r"complexity", re.IGNORECASE), "too_weak"),
    (re.compile(r"old password", re.IGNORECASE), "wrong_current"),
)


def refuse_unless_changed(directory: str, entry: Entry, answer: Answer, *, typed: Sequence[str], policy: Policy, now: datetime) -> None:
    """Raises ChangeRefused with the closest problem; `typed` is the present password and the new one, which no text of ours may repeat."""
    if answer.code == SUCCESS:
        return
    words = "it repeats what was typed" if any(one in answer.message for one in typed) else answer.message
    problem = _problem(entry, answer, new=typed[-1], policy=policy, now=now)
    raise ChangeRefused(f"{directory}: the new password was refused ({answer.code} {words})", problem=problem)


def _problem(entry: Entry, answer: Answer, *, new: str, policy: Policy, now: datetime) -> ChangeProblem:
    if answer.code not in {CONSTRAINT_VIOLATION, UNWILLING}:
        return "not_allowed"  # insufficient access: "user cannot change password", a read-only controller, and whatever else
    said = answer.message.lower()
    if said.startswith(WRONG_CURRENT):
        return "wrong_current"
    for words, problem in BY_WORDS:
        if words.search(said):
            return problem
    if RESTRICTION not in said:
        return "not_allowed"
    if policy.shortest is not None and len(new) < policy.shortest:
        return "too_short"
    set_at = instant(integer(entry, "pwdLastSet"))
    if policy.youngest is not None and set_at is not None and now < set_at + policy.youngest:
        return "too_young"
    return "too_weak"
