"""Sending what waits in the queue: claimed first, tried again with growing waits until it is of no use, then given up with an Event.

Channels are side by side: a mail server that hangs holds up no SMS. One worker sends (the lease), and a claim keeps two from sending the same one;
a sender that dies after the gateway took it sends it once more, which for a code is harmless. Calls the configured gateways and the store.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta

from connectors.base import SourceUnreachable
from connectors.delivery import Gateway, GatewayUnreachable, NotDelivered, Outgoing
from idp.audit import Event, EventType, Origin, Reason
from idp.clock import Clock
from idp.config import Config
from idp.errors import VestibuleError
from idp.messages.messenger import Messenger
from idp.store.base import Message
from idp.store.database import Database
from idp.store.leases import Fenced

PATIENCE = timedelta(seconds=1)
AT_ONCE = 4  # for each channel
WAITS = tuple(timedelta(seconds=s) for s in (2, 5, 10, 20, 30, 60, 120, 300, 900, 1800))
# Nobody else takes a claimed message for this long: more than any gateway's timeouts together.
CLAIM = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a try failed. `is_paid`: the gateway may have taken it all the same."""

    receipt: str
    reason: Reason
    is_final: bool = False
    is_paid: bool = False
    retry_after: timedelta | None = None


class Sender:
    """Sends what is due. One instance per worker; `run_once` is called every few hundred milliseconds."""

    def __init__(
        self, config: Config, database: Database | Fenced, gateways: Mapping[str, Gateway], *, messenger: Messenger, clock: Clock
    ) -> None:
        self._config = config
        self._database = database
        self._gateways = gateways
        self._messenger = messenger
        self._clock = clock
        self._pools = {channel: ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix=channel) for channel in ("sms", "email")}
        self._sending: dict[str, tuple[str, Future[int]]] = {}

    @property
    def is_sending(self) -> bool:
        """Whether a try that an earlier call did not see the end of is still to be settled: the next call does."""
        return bool(self._sending)

    def run_once(self) -> int:
        """Try every message that is due, a few of each channel at once; how many were tried and are settled by now.

        Returns when that is done or after PATIENCE. What goes wrong in a thread is raised here, by the call that finds it finished.
        """
        for channel, pool in self._pools.items():
            busy = [message_id for message_id, (used, _) in self._sending.items() if used == channel]
            if len(busy) < AT_ONCE:
                with self._database.read() as tx:
                    due = tx.messages.due(channel, self._clock.now(), limit=AT_ONCE - len(busy), but=busy)
                for message in due:
                    self._sending[message.id] = (channel, pool.submit(self._send, message))
        done, _ = wait([sending for _, sending in self._sending.values()], PATIENCE.total_seconds())
        finished = [message_id for message_id, (_, sending) in self._sending.items() if sending in done]
        return sum(self._sending.pop(message_id)[1].result() for message_id in finished)

    def close(self) -> None:
        """Wait for what is being sent, then let go."""
        for pool in self._pools.values():
            pool.shutdown()
        for gateway in self._gateways.values():
            gateway.close()

    def _send(self, message: Message) -> int:
        now = self._clock.now()
        with self._database.write() as tx:
            if not tx.messages.claim(message, now + CLAIM):
                return 0
        if message.expires_at <= now:
            self._give_up(message, Failure(receipt=message.receipt or "never tried", reason=Reason.MESSAGE_TOO_OLD), is_tried=False)
            return 1
        failure = self._try(message)
        if isinstance(failure, str):
            self._settle_sent(message, failure)
        elif failure.is_final:
            self._give_up(message, failure)
        else:
            self._postpone(message, failure)
        return 1

    def _try(self, message: Message) -> Failure | str:
        """Hand it over: the receipt, or why not."""
        gateway = self._gateways.get(message.channel)
        if gateway is None:
            return Failure(receipt="the channel is not configured any more", reason=Reason.MESSAGES_NOT_SET, is_final=True)
        try:
            opened = self._messenger.open(message)
        except VestibuleError:
            return Failure(receipt="cannot be unsealed: another master key?", reason=Reason.MESSAGE_REFUSED, is_final=True)
        outgoing = Outgoing(
            id=message.id,
            to=opened.to,
            text=opened.words.text,
            subject=opened.words.subject,
            language=opened.language,
            at=message.created_at,
        )
        try:
            return gateway.send(outgoing)
        except NotDelivered as error:
            reason = Reason.MESSAGE_REFUSED if error.is_final else Reason.MESSAGE_NOT_TAKEN
            return Failure(receipt=error.detail, reason=reason, is_final=error.is_final, retry_after=error.retry_after)
        except GatewayUnreachable as error:
            return Failure(receipt=f"{error.trouble}: {error.detail}", reason=Reason.MESSAGE_NOT_TAKEN, is_paid=error.may_have_arrived)
        except SourceUnreachable as error:
            return Failure(receipt=error.trouble, reason=Reason.MESSAGE_NOT_TAKEN)

    def _postpone(self, message: Message, failure: Failure) -> None:
        pause = max(WAITS[min(message.attempts, len(WAITS) - 1)], failure.retry_after or timedelta(0))
        until = self._clock.now() + pause
        if until >= message.expires_at:
            self._give_up(message, failure)
            return
        with self._database.write() as tx:
            tx.messages.postpone(message.id, until, receipt=failure.receipt, more_micros=self._price(message) if failure.is_paid else 0)
            tx.events.append(self._event(EventType.MESSAGE_RETRIED, message, failure.receipt, reason=failure.reason))

    def _give_up(self, message: Message, failure: Failure, *, is_tried: bool = True) -> None:
        less = 0 if is_tried and failure.is_paid else self._price(message)
        with self._database.write() as tx:
            tx.messages.abandon(message.id, self._clock.now(), receipt=failure.receipt, less_micros=less)
            tx.events.append(self._event(EventType.MESSAGE_ABANDONED, message, failure.receipt, reason=failure.reason))

    def _settle_sent(self, message: Message, receipt: str) -> None:
        with self._database.write() as tx:
            tx.messages.sent(message.id, self._clock.now(), receipt)
            tx.events.append(self._event(EventType.MESSAGE_SENT, message, receipt))

    def _price(self, message: Message) -> int:
        return self._config.sms.price_micros if message.channel == "sms" else 0

    def _event(self, kind: EventType, message: Message, receipt: str, *, reason: Reason | None = None) -> Event:
        return Event(
            type=kind,
            at=self._clock.now(),
            actor="system",
            origin=Origin(request_id=self._clock.new_code(10), address="local"),
            reason=reason,
            account_id=message.account_id,
            establishment_id=message.establishment_id,
            details={
                "message": message.id,
                "channel": message.channel,
                "purpose": message.purpose,
                "to": message.hint,
                "attempt": message.attempts + 1,
                "receipt": receipt,
            },
        )
