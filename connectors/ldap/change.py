"""What a directory's answer to a password change means, in the words that a page has.

Pure. Sources: draft-behera-ldap-password-policy-10 section 6.2 (error codes), the diagnostic messages of slapo-ppolicy and of 389 Directory Server
where no code was sent.
"""

import re
from collections.abc import Sequence

from connectors.base import ChangeProblem, ChangeRefused
from connectors.ldap.policy_control import PolicyError
from connectors.ldap.wire import (
    CONSTRAINT_VIOLATION,
    INVALID_CREDENTIALS,
    SUCCESS,
    UNWILLING,
    Answer,
)

BY_CODE: dict[PolicyError, ChangeProblem] = {
    PolicyError.PASSWORD_MOD_NOT_ALLOWED: "not_allowed",
    PolicyError.MUST_SUPPLY_OLD_PASSWORD: "not_allowed",
    PolicyError.INSUFFICIENT_PASSWORD_QUALITY: "too_weak",
    PolicyError.PASSWORD_TOO_SHORT: "too_short",
    PolicyError.PASSWORD_TOO_YOUNG: "too_young",
    PolicyError.PASSWORD_IN_HISTORY: "reused",
}
BY_WORDS: tuple[tuple[re.Pattern[str], ChangeProblem], ...] = (
    (re.compile(r"history|previously used|not being changed|already used", re.IGNORECASE), "reused"),
    (re.compile(r"young|too soon|minimum age|within", re.IGNORECASE), "too_young"),
    (re.compile(r"too short|at least \d+ char|minimum length|length", re.IGNORECASE), "too_short"),
    (re.compile(r"old password|current password|verify", re.IGNORECASE), "wrong_current"),
)


def refuse_unless_changed(directory: str, answer: Answer, *, typed: Sequence[bytes] = ()) -> None:
    """Raises ChangeRefused with the closest problem; the directory's own words go to `detail`, unless they repeat what was typed."""
    if answer.code == SUCCESS:
        return
    # Modules that judge passwords are written by many hands.
    words = "it repeats what was typed" if any(one in answer.message.encode() for one in typed) else answer.message
    detail = f"{directory}: the new password was refused ({answer.code} {words})"
    raise ChangeRefused(detail, problem=_problem(answer))


def _problem(answer: Answer) -> ChangeProblem:
    if answer.policy.error in BY_CODE and answer.policy.error is not PolicyError.INSUFFICIENT_PASSWORD_QUALITY:
        return BY_CODE[answer.policy.error]  # 389 says "quality" of everything, and what it means in words
    if answer.code == INVALID_CREDENTIALS:
        return "wrong_current"
    if answer.code in {CONSTRAINT_VIOLATION, UNWILLING}:
        for words, problem in BY_WORDS:
            if words.search(answer.message):
                return problem
        return "too_weak" if answer.code == CONSTRAINT_VIOLATION else "not_allowed"
    return "not_allowed"  # insufficient access, a read-only replica, and whatever else
