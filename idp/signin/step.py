"""Step: what a sign-in needs next, as the dispatcher answers it and the pages show it. A value; dispatch.py chooses, idp/web carries out."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from idp.audit import Reason
from idp.signin.enrolment import Asking
from idp.signin.gate import FactorChoice
from idp.signin.interaction import Finish
from idp.store.base import Account, Establishment, Session
from policies.zones import Whereabouts


class StepKind(StrEnum):
    """What is to be done next. FINISH and DENY end the sign-in; every other kind asks the person something."""

    SELECT_ACCOUNT = "select_account"
    LOGIN = "login"
    LINK = "link"
    CHOOSE_ESTABLISHMENT = "choose_establishment"
    CHANGE_PASSWORD = "change_password"  # noqa: S105  # the name of a step, not a password
    FACTOR = "factor"
    ENROL = "enrol"
    CLOSE_SESSION = "close_session"
    CONSENT = "consent"
    DENY = "deny"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The next step, with what its page or its end needs; the other fields are empty.

    `error` is the OAuth error that refuses the request when the step is not carried out; None on a DENY whose client is not proven any more, which
    may only be answered by a page. `must_redirect`: answer the client at once with `error`, no page may be shown or could help. `factors` are the
    second proofs that would help (FACTOR), `kinds` those that may be added (ENROL) from the position `asking`, once a pass was shown when
    `asks_pass`. `is_optional`: the client would like it, and the person may decline.
    `is_asked_again` (LOGIN): it is known who was here, and they must show it anew: no session of another program may answer. `whereabouts` and
    `decision`: once the rules were asked.
    """

    kind: StepKind
    reason: Reason | None = None
    error: str | None = None
    must_redirect: bool = False
    account: Account | None = None
    establishment: Establishment | None = None
    choices: tuple[Establishment, ...] = ()
    suggested_id: str | None = None
    sessions: tuple[Session, ...] = ()
    scopes: tuple[str, ...] = ()
    factors: tuple[FactorChoice, ...] = ()
    kinds: frozenset[str] = frozenset()
    asking: Asking | None = None
    asks_pass: bool = False
    may_remember: bool = False
    is_optional: bool = False
    is_asked_again: bool = False
    whereabouts: Whereabouts | None = None
    decision: Mapping[str, Any] | None = None
    finish: Finish | None = None
