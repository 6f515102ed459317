"""Certificates: what can be said of one Cut and shown to whoever asks: who, why, when it was written, heard and decided, what applications answered.

Owns what is put together from the row of the cut, the outbox and the audit trail, what is missing from it, and the signature that shows a document
to be ours (HMAC-SHA256 under a key that is never in SQL; docs/certificate-of-a-cut.md). Changes nothing; who may read one is idp/desk's to say.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from idp.audit import EventType
from idp.crypto import Keyring, same
from idp.store.base import Cut, Notice
from idp.store.database import Transaction
from idp.store.events import EventFilter

PURPOSE = "certificate of a cut"
FORM = "vestibule-certificate-of-a-cut-1"
SIGNATURE = "signature"
MOST_GRANTS = 1_000
# The Events of a cut are written within its transaction; a person's next request has another id.
AROUND = timedelta(minutes=5)
# Of a reading that was held with thousands of people in it.
CONFIRMING = timedelta(days=1)
Gap = Literal["written_unknown", "heard_unknown", "not_told", "not_answered_yet", "given_up"]
State = Literal["complete", "waiting", "incomplete"]
NEVER: Final[frozenset[Gap]] = frozenset({"not_told", "given_up"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One notice to an application and what became of it. `took`: from the decision to the answer. `words`: what it answered last, "" for nothing."""

    client_id: str
    application: str
    channel: Literal["backchannel_logout", "set_push", "set_poll"]
    state: Literal["acknowledged", "waiting", "given_up"]
    notice: str
    owed_at: datetime
    ended_at: datetime | None
    attempts: int
    words: str
    took: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """An application that held tokens of the person and gave no address where it could be told: it learns when it next asks us."""

    client_id: str
    application: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is known of a cut at `issued_at`. `person` is "" when the Account is there no more; `establishment` is a name, of a post that was lost;
    `author`: the name of the person who did it, "" when it was nobody by the console; `held_at`: since when the brake held it.
    """

    cut: Cut
    person: str
    establishment: str
    author: str
    held_at: datetime | None
    receipts: tuple[Receipt, ...]
    untold: tuple[Untold, ...]
    gaps: tuple[Gap, ...]
    issued_at: datetime

    @property
    def state(self) -> State:
        """complete: every application that could not see it by itself has acknowledged; incomplete: one never will."""
        if NEVER.intersection(self.gaps):
            return "incomplete"
        return "waiting" if "not_answered_yet" in self.gaps else "complete"

    @property
    def to_hear(self) -> timedelta | None:
        """From the write in the directory until we knew; None when either is not known."""
        return _between(self.cut.written_at, self.cut.heard_at)

    @property
    def to_decide(self) -> timedelta | None:
        """From hearing to the decision, which is committed with the endings."""
        return _between(self.cut.heard_at, self.cut.decided_at)

    @property
    def to_tell(self) -> timedelta | None:
        """From the decision to the last answer; None until every application has answered."""
        if not self.receipts or any(one.took is None for one in self.receipts):
            return None
        return max(one.took for one in self.receipts if one.took is not None)


def certify(tx: Transaction, cut: Cut, *, now: datetime) -> Certificate:
    """The certificate of a cut as things are in this transaction."""
    account = tx.people.get(cut.account_id)
    place = tx.establishments.get(cut.establishment_id) if cut.establishment_id else None
    receipts = tuple(_receipt(notice, cut, name=_name(tx, notice.client_id)) for notice in tx.cuts.notices(cut.id))
    untold = _untold(tx, cut, told={one.client_id for one in receipts})
    return Certificate(
        cut=cut,
        person=account.name if account is not None else "",
        establishment=place.name if place is not None else "",
        author=_author(tx, cut),
        held_at=_held_at(tx, cut),
        receipts=receipts,
        untold=untold,
        gaps=tuple(_gaps(cut, receipts, untold)),
        issued_at=now,
    )


class Signatory:
    """Writes certificates as documents that nobody without the key can make or change. Safe between threads."""

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._keyring = keyring
        self._issuer = issuer

    def document(self, certificate: Certificate) -> dict[str, Any]:
        """The certificate as JSON values; instants are RFC 3339 in UTC with microseconds, lengths of time are milliseconds."""
        cut = certificate.cut
        said: dict[str, Any] = {
            "form": FORM,
            "issuer": self._issuer,
            "issued_at": _written(certificate.issued_at),
            "cut": cut.id,
            "kind": cut.kind,
            "account": cut.account_id,
            "person": certificate.person,
            "establishment": certificate.establishment or None,
            "cause": cut.cause,
            "actor": cut.actor,
            "directory": cut.connector,
            "subject": cut.subject,
            "support_code": cut.request_id,
            "author": certificate.author or None,
            "clocks": {"written_at": "directory", "others": "issuer"},
            "written_at": _written(cut.written_at),
            "held_at": _written(certificate.held_at),
            "heard_at": _written(cut.heard_at),
            "decided_at": _written(cut.decided_at),
            "milliseconds": {
                "written_to_heard": _milliseconds(certificate.to_hear),
                "heard_to_decided": _milliseconds(certificate.to_decide),
                "decided_to_told": _milliseconds(certificate.to_tell),
            },
            "ended": {"sessions": cut.sessions, "grants": cut.grants},
            "state": certificate.state,
            "missing": list(certificate.gaps),
            "applications": [_told(one) for one in certificate.receipts],
            "not_told": [{"client": one.client_id, "name": one.application} for one in certificate.untold],
        }
        return {**said, SIGNATURE: self._sign(said)}

    def is_ours(self, document: Mapping[str, Any]) -> bool:
        """Whether a document was written by this deployment and is as it was written."""
        given = document.get(SIGNATURE)
        said = {name: value for name, value in document.items() if name != SIGNATURE}
        return isinstance(given, str) and said.get("form") == FORM and same(self._sign(said), given)

    def _sign(self, said: Mapping[str, Any]) -> str:
        # Half a character, which only a stranger's file can hold, is a wrong document and no error.
        text = json.dumps(said, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        return self._keyring.keyed_hash(PURPOSE, text)


def _receipt(notice: Notice, cut: Cut, *, name: str) -> Receipt:
    ended_at = notice.delivered_at or notice.abandoned_at
    return Receipt(
        client_id=notice.client_id,
        application=name,
        channel=notice.kind,
        state="acknowledged" if notice.delivered_at else "given_up" if notice.abandoned_at else "waiting",
        notice=notice.id,
        owed_at=notice.created_at,
        ended_at=ended_at,
        attempts=notice.attempts,
        words=notice.receipt or "",
        took=_between(cut.decided_at, notice.delivered_at),
    )


def _untold(tx: Transaction, cut: Cut, *, told: set[str]) -> tuple[Untold, ...]:
    """The applications whose Grants ended with it and that are owed nothing. The trail says which; it is kept less long than a cut."""
    wanted = EventFilter(
        account_id=cut.account_id,
        request_id=cut.request_id,
        type_prefix=str(EventType.GRANT_ENDED),
        since=cut.decided_at - AROUND,
        until=cut.decided_at + AROUND,
    )
    found: dict[str, None] = {}
    for line in tx.events.last(wanted, MOST_GRANTS):
        grant = tx.grants.get(line["grant_id"])
        was_given_tokens = grant is None or grant.has_tokens
        is_of_cut = cut.kind != "attachment" or line["establishment_id"] == cut.establishment_id
        if was_given_tokens and is_of_cut and line["client_id"] not in told:
            found[line["client_id"]] = None
    return tuple(Untold(client_id=client_id, application=_name(tx, client_id)) for client_id in found)


def _author(tx: Transaction, cut: Cut) -> str:
    kind, _, account_id = cut.actor.partition(":")
    account = tx.people.get(account_id) if kind == "account" else None
    return account.name if account is not None else ""


def _held_at(tx: Transaction, cut: Cut) -> datetime | None:
    """The confirmation of a held reading has the id of those whom it ends; each was held since the reading, or since their own word came after it."""
    if cut.connector is None:
        return None
    until = cut.decided_at + CONFIRMING
    wanted = EventFilter(request_id=cut.request_id, type_prefix=str(EventType.SYNC_CONFIRMED), since=cut.decided_at, until=until)
    confirmed = next(iter(tx.events.last(wanted, 1)), None)
    run = tx.links.run(str(confirmed["details"].get("run", ""))) if confirmed is not None else None
    if run is None:
        return None
    asked = EventFilter(account_id=cut.account_id, type_prefix=str(EventType.STANDING_HELD), since=run.started_at, until=cut.decided_at)
    own = [datetime.fromisoformat(line["at"]) for line in tx.events.last(asked, MOST_GRANTS)]
    return min(own, default=run.started_at)


def _gaps(cut: Cut, receipts: Sequence[Receipt], untold: Sequence[Untold]) -> list[Gap]:
    gaps: list[Gap] = []
    if cut.connector is not None and cut.written_at is None:
        gaps.append("written_unknown")
    if cut.connector is not None and cut.heard_at is None:
        gaps.append("heard_unknown")
    if untold:
        gaps.append("not_told")
    if any(one.state == "waiting" for one in receipts):
        gaps.append("not_answered_yet")
    if any(one.state == "given_up" for one in receipts):
        gaps.append("given_up")
    return gaps


def _told(one: Receipt) -> dict[str, Any]:
    return {
        "client": one.client_id,
        "name": one.application,
        "channel": one.channel,
        "state": one.state,
        "notice": one.notice,
        "owed_at": _written(one.owed_at),
        "ended_at": _written(one.ended_at),
        "milliseconds": _milliseconds(one.took),
        "attempts": one.attempts,
        "answer": one.words,
    }


def _name(tx: Transaction, client_id: str) -> str:
    client = tx.clients.get(client_id)
    return client.settings.name if client is not None else client_id


def _between(first: datetime | None, last: datetime | None) -> timedelta | None:
    return last - first if first is not None and last is not None else None


def _milliseconds(lasted: timedelta | None) -> float | None:
    return None if lasted is None else round(lasted / timedelta(milliseconds=1), 3)


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat(timespec="microseconds")
