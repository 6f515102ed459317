"""What operators see of a running program: structured logs on standard error, and Prometheus metrics.

Owns the log's shape and its redaction (tokens, codes, passwords, cookies and the like are never in a log, whoever logs them), and the list of
metrics. No metric carries personal data: labels are routes, statuses, event types, reason codes and client grant types. Sign-ins, tokens and
deliveries are counted from committed audit Events, so that the two can not disagree.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from idp.audit import Event, EventType

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
REDACTED = "[redacted]"
# What somebody must be woken for: a critical log line, beside the counter that an alert can stand on.
ALARMS = frozenset(
    {
        EventType.BREAK_GLASS_USED,
        EventType.LOGOUT_ABANDONED,
        EventType.SIGNAL_ABANDONED,
        EventType.CANARY_FAILED,
        EventType.SYNC_HELD,
        EventType.WORKSTATION_STOLEN,
        EventType.PASSKEY_SUSPECTED,
        EventType.RESET_STOPPED,
        EventType.RESET_BURNT,
        EventType.RESET_MISUSED,
    }
)
MAX_DEPTH = 6
STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
RESTORED_SECONDS = tuple(60.0 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440))
log = structlog.get_logger(__name__)
# A key is secret when one of its words is; `code` alone or at the end, but not a status, reason or support code.
SECRET_WORDS = frozenset(
    {
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "tokens",
        "cookie",
        "cookies",
        "authorization",
        "assertion",
        "verifier",
        "csrf",
        "challenge",
        "nonce",
        "jwt",
        "credential",
        "credentials",
        "otp",
        "pin",
        "hash",
        "digest",
    }
)
HARMLESS_CODES = frozenset({"status_code", "reason_code", "support_code", "exit_code", "error_code"})
SECRET_TEXTS = (
    re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.?[\w-]*"),  # a JWT
    re.compile(r"(?i)\b(?:bearer|basic|dpop|negotiate)\s+[\w.~+/=-]{8,}"),
    re.compile(r"vestibule_cs_[\w-]+"),
    re.compile(r"Key \([^)]*\)=\(.*?\)(?= )"),  # what PostgreSQL says of a value that is there already
    re.compile(r"\$argon2\w*\$[\w$=,./+-]+"),
    re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])"),  # our own tokens, codes and digests
    re.compile(r"(?i)(?<=[?&\s;\"'{])[\w-]*(?:password|secret|token|code|assertion|verifier|nonce|state|cookie)=[^&\s;\"'}]+"),
    re.compile(r"(?i)(?:set-)?cookie:[^\r\n]+"),
)
ROUTES = frozenset(
    {
        "/",
        "/.well-known/openid-configuration",
        "/jwks",
        "/authorize",
        "/token",
        "/userinfo",
        "/introspect",
        "/revoke",
        "/logout",
        "/signin",
        "/stop",
        "/forgotten",
        "/reset",
        "/upstream",
        "/account",
        "/help",
        "/workstation",
        "/static",
        "/healthz",
        "/readyz",
    }
)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor that lets no secret through, by its name or by its looks."""
    for key, value in event.items():
        event[key] = REDACTED if is_secret_name(key) and value is not None else _clean(value, 0)
    return event


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name must not be logged."""
    folded = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("-", "_")
    if folded in HARMLESS_CODES:
        return False
    words = folded.split("_")
    return words[-1] == "code" or (len(words) > 1 and words[-1] == "key") or any(word in SECRET_WORDS for word in words)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        for pattern in SECRET_TEXTS:
            value = pattern.sub(REDACTED, value)
        return value
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth > MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): REDACTED if is_secret_name(str(key)) else _clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return _clean(str(value), depth)


def configure_logging(level: str) -> None:
    """JSON on standard error, one object a line, for our own lines and for every library's. Once a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their own lines at info name every request to an application.
    for chatty in ("httpx", "httpcore", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def json_formatter() -> logging.Formatter:
    """A stdlib formatter that gives any record our shape; redaction comes last, so that it also sees tracebacks."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *_shared()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def server_logging() -> dict[str, Any]:
    """What the HTTP server's own logging configuration must hold to write in our shape."""
    return {
        "formatters": {name: {"()": "idp.telemetry.json_formatter"} for name in ("generic", "access")},
        "handlers": {
            name: {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "generic"} for name in ("console", "access")
        },
    }


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]


class Metrics:
    """Every metric of the program. One for each process; with PROMETHEUS_MULTIPROC_DIR set, `render` adds up all of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Finding a metric's child by its labels costs more than counting does; the labels are few (see the module's docstring).
        self._child = lru_cache(512)(_labelled)
        self._requests = Counter("vestibule_requests", "Requests answered.", ("route", "status"), registry=self.registry)
        self._request_seconds = Histogram(
            "vestibule_request_seconds", "Time to answer a request, in seconds.", ("route",), registry=self.registry, buckets=SECONDS
        )
        self._signins = Counter(
            "vestibule_signins",
            "Sign-ins by result (succeeded, refused, cancelled, restarted) and reason code.",
            ("result", "reason"),
            registry=self.registry,
        )
        self._spraying = Counter(
            "vestibule_spraying",
            "Times that guessing at many identifiers was seen, by where from (address, everywhere).",
            ("scope",),
            registry=self.registry,
        )
        self._windows = Counter(
            "vestibule_windows_sign_ins",
            "Sign-ins by a Windows session by outcome: succeeded, or the reason code of the refusal.",
            ("outcome",),
            registry=self.registry,
        )
        self._upstreams = Counter(
            "vestibule_upstream_journeys",
            "Returns from upstream providers by provider, result (arrived, refused) and reason code; refused: those that could not begin too.",
            ("provider", "result", "reason"),
            registry=self.registry,
        )
        self._tokens = Counter(
            "vestibule_tokens",
            "Token requests by grant type and result (issued, refused, repeated).",
            ("grant_type", "result"),
            registry=self.registry,
        )
        self._deliveries = Counter(
            "vestibule_logout_deliveries",
            "Back-channel logouts by result (delivered, retried, abandoned).",
            ("result",),
            registry=self.registry,
        )
        self._messages = Counter(
            "vestibule_messages",
            "SMS and e-mails by channel and result (sent, retried, abandoned).",
            ("channel", "result"),
            registry=self.registry,
        )
        self._messages_waiting = Gauge(
            "vestibule_messages_waiting",
            "SMS and e-mails neither sent nor abandoned.",
            ("channel",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._messages_age = Gauge(
            "vestibule_messages_oldest_seconds",
            "Age of the oldest SMS or e-mail that waits, in seconds.",
            ("channel",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._sms_cost = self._gauge("vestibule_sms_month_euros", "What the SMS of this calendar month have cost, or may yet.")
        self._credential_days = Gauge(
            "vestibule_provider_credential_days",
            "Days until our secret or certificate at an upstream provider ends, negative after; no series where nobody said when.",
            ("provider",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._reset_moves = Counter(
            "vestibule_resets",
            "Moves of resets, by move (asked, proven, approved, issued, done, refused, ...).",
            ("move",),
            registry=self.registry,
        )
        self._restored = Histogram(
            "vestibule_reset_seconds",
            "From asking for a reset to the person's own new means of sign-in, in seconds.",
            ("kind",),
            registry=self.registry,
            buckets=RESTORED_SECONDS,
        )
        self._resets_waiting = self._gauge("vestibule_resets_waiting", "Resets that wait for an agent or an approver.")
        self._resets_age = self._gauge("vestibule_resets_oldest_seconds", "Age of the oldest reset that waits so, in seconds.")
        self._alerts = Counter("vestibule_alerts", "Alerts queued as mail, by kind.", ("kind",), registry=self.registry)
        self._events = Counter("vestibule_events", "Audit lines written, by type.", ("type",), registry=self.registry)
        self.hashes = Gauge(
            "vestibule_hashes_in_progress",
            "Password hashes being computed or waiting for their turn.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self._watch = Gauge(
            "vestibule_watch_live",
            "1 while a directory is listened to, 0 while it cannot be or is read as a whole.",
            ("connector",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._canary = Gauge(
            "vestibule_canary_well",
            "1 when the last run of a directory's canary came through, 0 when it did not: somebody disabled there may keep their access.",
            ("connector",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._canary_seconds = Histogram(
            "vestibule_canary_seconds",
            "Stages of the canary's runs, in seconds: heard, decided, delivered, and whole from the write to the delivery.",
            ("connector", "stage"),
            registry=self.registry,
            buckets=STAGE_SECONDS,
        )
        self._cut_heard = self._stage("heard", "From the write in the directory, by its clock, to hearing of it, in seconds.", "connector")
        self._cut_decided = self._stage("decided", "From hearing of a departure to its endings being committed, in seconds.", "connector")
        self._cut_delivered = self._stage("delivered", "From the endings to each application's acknowledgement, in seconds.", "kind")
        self._outbox_waiting = self._gauge("vestibule_outbox_waiting", "Notices neither delivered nor abandoned.")
        self._outbox_age = self._gauge("vestibule_outbox_oldest_seconds", "Age of the oldest notice that waits, in seconds.")
        self._sessions = self._gauge("vestibule_sessions_open", "Sessions within their idle and absolute limits.")
        self._store = self._gauge("vestibule_store_ping_seconds", "Time the store took to answer its last check, in seconds.")
        self._network = self._gauge(
            "vestibule_network_suspicious", "1 while nearly every sign-in seems to come from one place: a proxy hides who asks."
        )
        self._sealed = self._gauge(
            "vestibule_audit_sealed_timestamp_seconds", "When the audit trail was last sealed, in seconds since 1970; 0: never."
        )
        self._stream = Gauge(
            "vestibule_audit_stream_failing",
            "1 while a stream of the audit trail is not taken by the other side.",
            ("stream",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._stream_behind = Gauge(
            "vestibule_audit_stream_behind_lines",
            "Lines of the audit trail that a stream has not been given yet.",
            ("stream",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self._beat = self._gauge(
            "vestibule_work_last_beat_timestamp_seconds", "When the worker last went round its jobs, in seconds since 1970."
        )
        self._active = Gauge(
            "vestibule_work_active",
            "1 where the jobs that are done once are done, 0 on a host that stands by.",
            registry=self.registry,
            multiprocess_mode="livemostrecent",
        )
        self._takeovers = Counter(
            "vestibule_work_takeovers", "Times that this host began to do the jobs that are done once.", registry=self.registry
        )
        self._job_failures = Counter("vestibule_work_failures", "Jobs of the worker that failed.", ("job",), registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry, multiprocess_mode="mostrecent")

    def _stage(self, name: str, text: str, label: str) -> Histogram:
        return Histogram(f"vestibule_cut_{name}_seconds", text, (label,), registry=self.registry, buckets=STAGE_SECONDS)

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` is one of ROUTES or is counted as "other"."""
        known = route if route in ROUTES else "other"
        self._child(self._requests, known, str(status)).inc()
        self._child(self._request_seconds, known).observe(seconds)

    def count_events(self, events: Sequence[Event]) -> None:
        """Count committed audit lines."""
        for event in events:
            subject, _, verb = event.type.value.partition(".")
            self._child(self._events, event.type.value).inc()
            if event.type in ALARMS:
                log.critical("alarm", event_type=event.type.value, account_id=event.account_id, request_id=event.origin.request_id)
            if event.type is EventType.SIGNIN_SPRAYING:
                self._spraying.labels("everywhere" if event.details.get("scope") == "everywhere" else "address").inc()
            elif subject == "upstream":
                # Only a provider of the configuration is named in an Event.
                self._child(self._upstreams, event.connector or "", verb, str(event.reason or "")).inc()
            elif subject == "signin":
                self._child(self._signins, verb, str(event.reason or "")).inc()
                if event.details.get("method") == "windows":
                    self._windows.labels(str(event.reason)).inc()
                elif event.type is EventType.SIGNIN_SUCCEEDED and "wia" in event.amr:
                    self._windows.labels(verb).inc()
            elif subject == "reset":
                self._child(self._reset_moves, verb).inc()
                if event.type is EventType.RESET_DONE:
                    self._child(self._restored, str(event.details.get("kind"))).observe(float(event.details.get("seconds") or 0))
            elif event.type in {EventType.TOKEN_ISSUED, EventType.TOKEN_REFUSED, EventType.TOKEN_REPEATED}:
                self._child(self._tokens, _known_grant(event.details.get("grant_type")), verb).inc()
            elif event.type in {EventType.LOGOUT_DELIVERED, EventType.LOGOUT_RETRIED, EventType.LOGOUT_ABANDONED}:
                self._deliveries.labels(verb).inc()
            elif event.type in {EventType.MESSAGE_SENT, EventType.MESSAGE_RETRIED, EventType.MESSAGE_ABANDONED}:
                self._messages.labels(str(event.details.get("channel")), verb).inc()

    def observe_stores(self, *, waiting: int, oldest_seconds: float, sessions: int, ping_seconds: float) -> None:
        """What the worker measured."""
        self._outbox_waiting.set(waiting)
        self._outbox_age.set(oldest_seconds)
        self._sessions.set(sessions)
        self._store.set(ping_seconds)

    def observe_resets(self, *, waiting: int, oldest_seconds: float) -> None:
        """What the worker measured of the reset desk."""
        self._resets_waiting.set(waiting)
        self._resets_age.set(oldest_seconds)

    def observe_messages(self, channel: str, *, waiting: int, oldest_seconds: float) -> None:
        """What the worker measured of one channel."""
        self._messages_waiting.labels(channel).set(waiting)
        self._messages_age.labels(channel).set(oldest_seconds)

    def observe_sms_cost(self, euros: float) -> None:
        """What the worker measured of this month."""
        self._sms_cost.set(euros)

    def observe_credential(self, provider: str, *, left: timedelta) -> None:
        """How long our credential at an upstream provider still holds."""
        self._credential_days.labels(provider).set(left / timedelta(days=1))

    def observe_network(self, *, suspicious: bool) -> None:
        """What the worker makes of where sign-ins come from."""
        self._network.set(suspicious)

    def observe_sealed(self, at: datetime | None) -> None:
        """When the audit trail was last sealed."""
        self._sealed.set(at.timestamp() if at else 0)

    def observe_stream(self, name: str, *, failing: bool, behind: int) -> None:
        """How a stream of the audit trail fares."""
        self._stream.labels(name).set(failing)
        self._stream_behind.labels(name).set(behind)

    def observe_watch(self, connector: str, *, live: bool) -> None:
        """Whether a directory is listened to at this moment."""
        self._watch.labels(connector).set(live)

    def observe_canary(self, connector: str, *, well: bool) -> None:
        """Whether the last run of a canary came through."""
        self._canary.labels(connector).set(well)

    def observe_canary_stage(self, connector: str, stage: str, took: timedelta) -> None:
        """A stage of a run that came through. Clocks that differ make no negative time."""
        self._canary_seconds.labels(connector, stage).observe(max(0.0, took.total_seconds()))

    def observe_cut(self, connector: str, *, written_at: datetime | None, heard_at: datetime, decided_at: datetime) -> None:
        """Somebody who left: the first stages. Clocks that differ make no negative time."""
        if written_at is not None:
            self._cut_heard.labels(connector).observe(max(0.0, (heard_at - written_at).total_seconds()))
        self._cut_decided.labels(connector).observe(max(0.0, (decided_at - heard_at).total_seconds()))

    def observe_delivered(self, kind: str, took: timedelta) -> None:
        """Somebody who left: an application was told."""
        self._cut_delivered.labels(kind).observe(max(0.0, took.total_seconds()))

    def beat(self, now: datetime) -> None:
        """The worker is alive."""
        self._beat.set(now.timestamp())

    def observe_lease(self, *, active: bool, taken: bool) -> None:
        """Whether this worker does the single jobs, and whether it began just now."""
        self._active.set(int(active))
        if taken:
            self._takeovers.inc()

    def count_alert(self, kind: str) -> None:
        """An alert was queued as a mail."""
        self._alerts.labels(kind).inc()

    def count_failure(self, job: str) -> None:
        """A job of the worker failed."""
        self._job_failures.labels(job).inc()

    def render(self) -> bytes:
        """The Prometheus text format, of all processes together when they share a directory."""
        if not os.environ.get(MULTIPROCESS_VARIABLE):
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the library has no annotations here
        return generate_latest(together)

    def described(self) -> list[tuple[str, str, str, tuple[str, ...]]]:
        """Name, kind, meaning and labels of each metric, for docs/reference/metrics.md."""
        found = []
        for collector in vars(self).values():
            if isinstance(collector, Counter | Gauge | Histogram):
                (family,) = collector.describe()
                name = f"{family.name}_total" if family.type == "counter" else family.name
                found.append((name, family.type, family.documentation, tuple(collector._labelnames)))
        return found


class ObservedPages:
    """WSGI middleware: counts what the pages answer. Only the first segment of a path is a label: the rest names people's sign-ins."""

    def __init__(self, pages: "WSGIApplication", observe: Callable[[str, int, float], None], elapsed: Callable[[], float]) -> None:
        self._pages = pages
        self._observe = observe
        self._elapsed = elapsed

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer as the pages do."""
        began = self._elapsed()

        def observed(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self._observe(route_of(environ.get("PATH_INFO", "")), int(status[:3]), self._elapsed() - began)
            return start_response(status, headers, *more)

        return self._pages(environ, observed)


def route_of(path: str) -> str:
    """The route of a path: itself, or its first segment, or "other"."""
    if path in ROUTES:
        return path
    first = "/" + path.lstrip("/").split("/", 1)[0]
    return first if first in ROUTES else "other"


def forget_dead_processes() -> None:
    """Remove what dead processes left in the shared directory of live gauges; counters are kept, they still count."""
    directory = os.environ.get(MULTIPROCESS_VARIABLE)
    for file in Path(directory).glob("gauge_live*_*.db") if directory else ():
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            file.unlink(missing_ok=True)


def _labelled(metric: Any, *labels: str) -> Any:
    return metric.labels(*labels)


def _known_grant(value: object) -> str:
    """A grant type as a label; a stranger's text must not make new series without end."""
    text = str(value or "")
    return text if text in {"authorization_code", "refresh_token", "client_credentials"} else "other"
