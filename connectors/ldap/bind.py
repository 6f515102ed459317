"""What a directory's answer to a person's bind means: usable, must change, barred, or simply wrong.

Pure, on an answer already had. Sources: draft-behera-ldap-password-policy-10 section 6.2, and what OpenLDAP and 389 Directory Server answer.
"""

from datetime import datetime

from connectors.base import CredentialsRefused, PersonNotUsable, SourceMisbehaved, State
from connectors.ldap.policy_control import PolicyError
from connectors.ldap.state import Policy, is_past_shadow_expire, state_of
from connectors.ldap.wire import CONSTRAINT_VIOLATION, REFERRAL, SUCCESS, UNWILLING, Answer, Entry

MUST_CHANGE = {PolicyError.PASSWORD_EXPIRED, PolicyError.CHANGE_AFTER_RESET}


def judge_bind(directory: str, entry: Entry, subject: str, *, answer: Answer, policy: Policy, now: datetime) -> State:
    """USABLE or MUST_CHANGE. Raises CredentialsRefused, PersonNotUsable or SourceMisbehaved.

    A policy tells "expired" only to who has the password; "locked" and "disabled" are answered before the password is looked at.
    """
    said = state_of(entry, policy, now)
    if answer.code == REFERRAL:
        raise SourceMisbehaved(f"{directory}: a bind was answered by a referral to another server")
    is_proven = answer.code == SUCCESS or answer.policy.error is PolicyError.PASSWORD_EXPIRED
    if not is_proven:
        if (state := _barred(entry, said, answer=answer, now=now)) is not None:
            raise PersonNotUsable(f"{directory}: {entry.dn} is {state}", state=state, subject=subject, is_proven=False)
        raise CredentialsRefused(f"{directory}: the bind was refused ({f'{answer.code} {answer.message}'.strip()})", subject=subject)
    if said in {State.DISABLED, State.EXPIRED}:
        raise PersonNotUsable(f"{directory}: {entry.dn} is {said}", state=said, subject=subject, is_proven=True)
    # The bind is the better witness: a policy that wants a change says so here, whatever attributes say of locks and dates.
    must_change = answer.policy.error in MUST_CHANGE or answer.policy.grace_left is not None
    return State.MUST_CHANGE if must_change else State.USABLE


def _barred(entry: Entry, said: State, *, answer: Answer, now: datetime) -> State | None:
    """Why the directory would refuse even the right password; None when it was simply wrong."""
    if said is State.EXPIRED and is_past_shadow_expire(entry, now) and answer.policy.error is not PolicyError.ACCOUNT_LOCKED:
        return None  # servers do not enforce shadowExpire: the password itself was wrong
    if said in {State.DISABLED, State.EXPIRED, State.LOCKED}:
        return said
    if answer.code == UNWILLING:
        return (
            State.DISABLED
        )  # 389 Directory Server: "Account inactivated"; of OpenLDAP it says nothing of a person, and does not come here
    if answer.policy.error is PolicyError.ACCOUNT_LOCKED or answer.code == CONSTRAINT_VIOLATION:
        return State.LOCKED  # 389 Directory Server: "Exceed password retry limit"
    return None
