"""What a domain controller's answer to a person's bind means: usable, must change, barred, not now, or simply wrong.

Pure, on an answer already had. A controller answers 49 and a sub-code in words: `data 52e`. Sources: [MS-ERREF] 2.2 (Win32 codes) and what Samba and
Windows Server answer. All but 52e, 525 and 775 are said to who has the password alone.
"""

import re

from connectors.base import CredentialsRefused, PersonNotUsable, SourceMisbehaved, State
from connectors.ldap.wire import INVALID_CREDENTIALS, REFERRAL, SUCCESS, UNWILLING, Answer, Entry

SUB_CODE = re.compile(r"\bdata ([0-9a-f]+)\b", re.IGNORECASE)
MUST_CHANGE = {"532", "773"}
BARRED = {
    "530": State.NOT_NOW,  # outside the hours when they may sign in
    "531": State.NOT_NOW,  # not from this computer
    "533": State.DISABLED,
    "701": State.EXPIRED,
}
LOCKED = "775"
IN_WORDS = {
    "525": "there is no such account",
    "52e": "wrong name or wrong password",
    "530": "outside its logon hours",
    "531": "it may not log on to this computer",
    "532": "its password has expired",
    "533": "it is disabled",
    "701": "it has expired",
    "773": "its password must be changed first",
    "775": "it is locked",
}


def sub_code(message: str) -> str | None:
    """The sub-code in a controller's words; None when there is none."""
    match = SUB_CODE.search(message)
    return match[1].lower() if match else None


def judge_bind(directory: str, entry: Entry, subject: str, *, answer: Answer, said: State) -> State:
    """USABLE or MUST_CHANGE; `said` is what the entry says. Raises CredentialsRefused, PersonNotUsable or SourceMisbehaved."""
    code = sub_code(answer.message)
    if answer.code == SUCCESS:
        if said in {State.DISABLED, State.EXPIRED}:  # a controller that does not know it yet, or a clock that is ahead of ours
            raise PersonNotUsable(f"{directory}: {entry.dn} is {said}", state=said, subject=subject, is_proven=True)
        return State.USABLE
    if answer.code != INVALID_CREDENTIALS:
        how = "by a referral to another server" if answer.code == REFERRAL else f"by {answer.code} {answer.message}"
        raise SourceMisbehaved(f"{directory}: a bind was answered {how}{' (is TLS on?)' if answer.code in {8, UNWILLING} else ''}")
    if code in MUST_CHANGE:
        return State.MUST_CHANGE
    if code in BARRED:
        raise PersonNotUsable(f"{directory}: {entry.dn}: {IN_WORDS[code]}", state=BARRED[code], subject=subject, is_proven=True)
    if code == LOCKED:
        raise PersonNotUsable(f"{directory}: {entry.dn} is locked", state=State.LOCKED, subject=subject, is_proven=False)
    raise CredentialsRefused(f"{directory}: the bind was refused ({code or 'no sub-code'})", subject=subject)
