"""May this account use this client, at which establishment, with which profile, at this moment.

Owns the reading of attachments and of a client's restrictions, and the instants at which an attachment opens and
closes. Does not load anything and does not ask for proofs (assurance does). Called by signin's dispatcher and, at
refresh time, by oauth. An active account opens no door by itself: an attachment does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from policies.decision import Decision, TraceLine, Verdict, allow, deny

ACCOUNT_NOT_ACTIVE = "account_not_active"
NO_ATTACHMENT = "no_attachment"
ATTACHMENT_NOT_STARTED = "attachment_not_started"
ATTACHMENT_ENDED = "attachment_ended"
CLIENT_NOT_OPEN_TO_ESTABLISHMENT = "client_not_open_to_establishment"
CLIENT_NOT_OPEN_TO_PROFILE = "client_not_open_to_profile"
ATTACHMENT_USABLE = "attachment_usable"

# Nearest to being let in first: with two attachments, one ended last year and one of the wrong profile, the person
# and the support agent need to hear about the second.
_NEAREST_FIRST = (
    CLIENT_NOT_OPEN_TO_PROFILE,
    CLIENT_NOT_OPEN_TO_ESTABLISHMENT,
    ATTACHMENT_NOT_STARTED,
    ATTACHMENT_ENDED,
)


@dataclass(frozen=True, slots=True)
class AttachmentFacts:
    """One attachment. Usable in [valid_from, valid_until), UTC-aware; None means no bound on that side."""

    id: str
    establishment_id: str
    profile: str
    valid_from: datetime | None
    valid_until: datetime | None
    ended: bool


@dataclass(frozen=True, slots=True)
class AccessFacts:
    """What is known at `now` (UTC-aware). An empty frozenset of the client means: no restriction of that kind."""

    account_active: bool
    attachments: tuple[AttachmentFacts, ...]
    client_establishments: frozenset[str]
    client_profiles: frozenset[str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """The active establishment, or the question to ask.

    `establishment_id` set: take it. `must_ask`: show the list, with the one last used (`suggested`) first if it still
    is among them. Neither: nothing is usable, and
    `decide` says why.
    """

    establishment_id: str | None
    must_ask: bool
    suggested: str | None


def usable_attachments(facts: AccessFacts) -> tuple[AttachmentFacts, ...]:
    """The attachments that open this client now, in the order given; none when the account is not active."""
    if not facts.account_active:
        return ()
    return tuple(attachment for attachment in facts.attachments if _obstacle(attachment, facts) is None)


def choose(facts: AccessFacts, wanted: str | None, last: str | None) -> Choice:
    """Which establishment becomes the active one.

    `wanted` (a hint of the client, a parameter or a subdomain) wins when it is usable; a hint that is not usable is
    only a hint and is passed over; one usable establishment needs no question; several do, with `last` suggested.
    """
    usable = tuple(dict.fromkeys(attachment.establishment_id for attachment in usable_attachments(facts)))
    if wanted is not None and wanted in usable:
        return Choice(wanted, must_ask=False, suggested=None)
    if len(usable) == 1:
        return Choice(usable[0], must_ask=False, suggested=None)
    if not usable:
        return Choice(None, must_ask=False, suggested=None)
    return Choice(None, must_ask=True, suggested=last if last in usable else None)


def decide(facts: AccessFacts, establishment_id: str | None) -> Decision:
    """Allow when an attachment opens this client now, at `establishment_id` or, when None, anywhere.

    Denied, the reasons run from the obstacle nearest to being let in to the farthest; the trace has one line per
    attachment with its id.
    """
    if not facts.account_active:
        return deny(ACCOUNT_NOT_ACTIVE)
    here = tuple(
        attachment for attachment in facts.attachments if establishment_id is None or attachment.establishment_id == establishment_id
    )
    if not here:
        return deny(NO_ATTACHMENT)
    trace: list[TraceLine] = []
    for attachment in here:
        obstacle = _obstacle(attachment, facts)
        if obstacle is None:
            return allow(ATTACHMENT_USABLE, detail=attachment.id)
        trace.append(TraceLine(obstacle, Verdict.DENY, detail=attachment.id))
    found = {line.reason for line in trace}
    return Decision(Verdict.DENY, tuple(reason for reason in _NEAREST_FIRST if reason in found), trace=tuple(trace))


def attachment_window(
    first_day: date | None,
    last_day: date | None,
    zone: ZoneInfo,
    *,
    closes_at: time = time(12),
    closes_days_after: int = 1,
) -> tuple[datetime | None, datetime | None]:
    """The instants (UTC-aware) at which an attachment opens and closes; None where there is no bound.

    It opens with the first instant of `first_day` in the establishment's `zone`. It closes at the wall-clock time
    `closes_at`, `closes_days_after` days after `last_day`: by default at noon of the next day, because midnight would
    cut the night shift of the last day. Wall clock, not a count of hours: the two differ when summer time changes.
    A day at the end of the calendar (9999-12-31 is how many directories write "never") is no bound.
    Raises ValueError when `last_day` is before `first_day` or `closes_days_after` is negative.
    """
    if closes_days_after < 0:
        raise ValueError("closes_days_after is negative: the last day itself would be cut")
    if first_day is not None and last_day is not None and last_day < first_day:
        raise ValueError("the last day of an attachment is before its first day")
    opens = None if first_day is None else _opening(first_day, zone)
    closes = None if last_day is None else _closing(last_day, zone, at=closes_at, days_after=closes_days_after)
    return opens, closes


def _obstacle(attachment: AttachmentFacts, facts: AccessFacts) -> str | None:
    if attachment.ended or (attachment.valid_until is not None and facts.now >= attachment.valid_until):
        return ATTACHMENT_ENDED
    if attachment.valid_from is not None and facts.now < attachment.valid_from:
        return ATTACHMENT_NOT_STARTED
    if facts.client_establishments and attachment.establishment_id not in facts.client_establishments:
        return CLIENT_NOT_OPEN_TO_ESTABLISHMENT
    if facts.client_profiles and attachment.profile not in facts.client_profiles:
        return CLIENT_NOT_OPEN_TO_PROFILE
    return None


def _opening(day: date, zone: ZoneInfo) -> datetime | None:
    # fold=0 is right in both odd cases: a midnight that is skipped becomes the instant of the change, and of a
    # midnight that comes twice it is the first.
    try:
        return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return None


def _closing(day: date, zone: ZoneInfo, *, at: time, days_after: int) -> datetime | None:
    try:
        wall = datetime.combine(day + timedelta(days=days_after), at, tzinfo=zone)
        # The later reading of a time that is skipped or comes twice: never cut somebody an hour early.
        return max(wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        return None
