"""SMS through any service with an HTTPS interface, as the operator's template describes it.

TLS is verified, redirects and proxies of the environment are not followed, an answer is read up to a bound and within a bound of time. Calls nothing
of ours. A status that says "later" (408, 425, 429, 5xx) or "not you" (401, 403, 404, 407, a redirect) is worth another try: an operator may be
repairing it.
"""

import json
import re
import ssl
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx

from connectors.base import CheckStep, Clock
from connectors.breaker import Guard
from connectors.delivery import GatewayUnreachable, NotDelivered, Outgoing, without_telling
from connectors.https import trouble_of, words_of
from connectors.sms.settings import SmsHttpSettings
from connectors.sms.template import fill_body, fill_headers, fill_url

MOST_BYTES = 65_536
PASSING = frozenset({401, 403, 404, 407, 408, 425, 429})
LONGEST_RETRY_AFTER = timedelta(minutes=5)
CONCURRENCY = 4
FAILURES, PAUSE = 5, timedelta(seconds=10)


class HttpSms:
    """One service. Its secret is in no error and no receipt."""

    def __init__(self, settings: SmsHttpSettings, clock: Clock, *, sender: str) -> None:
        self._settings = settings
        self._clock = clock
        self._sender = sender
        self._guard = Guard("sms", clock, concurrency=CONCURRENCY, failures=FAILURES, pause=PAUSE)
        self._http = httpx.Client(
            timeout=settings.timeout.total_seconds(),
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None),
            auth=httpx.BasicAuth(settings.username, settings.secret or "") if settings.username is not None else None,
            # As it comes: a short answer that unpacks into a long one is not unpacked.
            headers={"User-Agent": "Vestibule", "Accept-Encoding": "identity"},
        )

    def send(self, outgoing: Outgoing) -> str:
        """See Gateway."""
        request = self._request(outgoing)
        with self._guard.lookup_passage():
            status, headers, body = self._answer(request)
        return self._judge(status, headers, body)

    def rehearse(self, outgoing: Outgoing) -> Iterator[CheckStep]:
        """See Gateway."""
        yield CheckStep(title="SMS service", outcome="ok", explanation=f"{self._settings.method} to {httpx.URL(self._settings.url).host}")
        try:
            status, headers, body = self._answer(self._request(outgoing))
        except GatewayUnreachable as error:
            yield CheckStep(title="Connection", outcome="failed", explanation=f"{error.detail}. {ADVICE.get(error.trouble, '')}".strip())
            return
        except NotDelivered as error:
            yield CheckStep(title="Request", outcome="failed", explanation=error.detail)
            return
        yield CheckStep(title="Connection", outcome="ok", explanation="answered over a trusted connection")
        try:
            receipt = self._judge(status, headers, body)
        except NotDelivered as error:
            advice = "Compare with `sms.http.success` and the service's manual."
            yield CheckStep(title="Answer", outcome="failed", explanation=f"{error.detail}. {advice}")
            return
        yield CheckStep(
            title="Answer", outcome="ok", explanation=f"{receipt}: the service has taken the message, and delivers it when it can"
        )

    def close(self) -> None:
        """See Gateway."""
        self._http.close()

    def _request(self, outgoing: Outgoing) -> httpx.Request:
        settings = self._settings
        values = {
            "to": outgoing.to,
            "to_digits": outgoing.to.lstrip("+"),
            "text": outgoing.text,
            "sender": self._sender,
            "secret": settings.secret or "",
            "id": outgoing.id,
        }
        body = fill_body(settings.body, values)
        content: dict[str, Any] = {"none": {}, "json": {"json": body}, "form": {"data": body}}[settings.format]
        try:
            headers = fill_headers(settings.headers, values)
            return self._http.build_request(settings.method, fill_url(settings.url, values), headers=headers, **content)
        except (ValueError, httpx.InvalidURL) as error:
            raise NotDelivered("the template does not make a request (check-config says where)", is_final=True) from error

    def _answer(self, request: httpx.Request) -> tuple[int, httpx.Headers, bytes]:
        began = self._clock.now()
        is_begun = False
        try:
            answer = self._http.send(request, stream=True)
            is_begun = True
            try:
                body = b""
                for piece in answer.iter_raw(4096):
                    body += piece
                    if len(body) >= MOST_BYTES or self._clock.now() - began > self._settings.timeout * 3:
                        break
            finally:
                answer.close()
        except httpx.HTTPError as error:
            # Once the connection stood, the request may have been read whole before the answer failed.
            arrived = is_begun or not isinstance(
                error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
            )
            raise GatewayUnreachable(without_telling(words_of(error)), trouble=trouble_of(error), may_have_arrived=arrived) from error
        except httpx.InvalidURL as error:
            raise NotDelivered("the URL of the template is none", is_final=True) from error
        return answer.status_code, answer.headers, body[:MOST_BYTES]

    def _judge(self, status: int, headers: httpx.Headers, body: bytes) -> str:
        success = self._settings.success
        if status not in success.statuses:
            passes = status in PASSING or status >= 500 or status < 400
            raise NotDelivered(f"HTTP {status}", is_final=not passes, retry_after=_retry_after(headers))
        if success.json_path is None and success.pattern is None:
            return f"HTTP {status}"
        found = _at(body, success.json_path) if success.json_path is not None else body.decode("utf-8", "replace")
        if found is None:
            raise NotDelivered(
                f"HTTP {status}, without {success.json_path} in its answer", is_final=False, retry_after=_retry_after(headers)
            )
        if success.pattern is not None and not re.search(success.pattern, found):
            said = without_telling(found) if success.json_path is not None else "not what success looks like"
            raise NotDelivered(f"HTTP {status}, but it says: {said}", is_final=False, retry_after=_retry_after(headers))
        return f"HTTP {status}"


ADVICE = {
    "timeout": "Is the service reachable from this machine (firewall, DNS)?",
    "refused": "Is the host's name right, and reachable from this machine?",
    "tls_untrusted": "Give the authority that signed its certificate as `sms.http.ca_file`.",
    "tls_name": "The certificate is for another host: check `sms.http.url`.",
}


def _retry_after(headers: httpx.Headers) -> timedelta | None:
    """Seconds only (RFC 9110 section 10.2.3): a date would be by the service's clock. Never longer than a code could wait."""
    value = headers.get("Retry-After", "").strip()
    return min(timedelta(seconds=int(value)), LONGEST_RETRY_AFTER) if value.isascii() and value.isdecimal() and len(value) < 8 else None


def _at(body: bytes, path: str) -> str | None:
    """What a JSON answer holds at a path, as text; None when it is not JSON or holds nothing there."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value)
