"""Mail through an SMTP server: TLS verified before a login or an address is said (RFC 8314), one connection a mail.

Calls the standard library. A server that does not offer STARTTLS when it must is not given the mail: a machine in the middle could have struck the
offer out.
"""

import re
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import EmailMessage

from connectors.base import CheckStep, Clock, Trouble
from connectors.breaker import Guard
from connectors.delivery import GatewayUnreachable, NotDelivered, Outgoing, without_telling
from connectors.mail.message import compose
from connectors.mail.settings import SmtpSettings

CONCURRENCY = 4
FAILURES, PAUSE = 5, timedelta(seconds=10)
ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ")
Note = Callable[[str, str], None]


class Mail:
    """One SMTP server. `host` is the issuer's: we greet by it, and it ends our Message-IDs."""

    def __init__(self, settings: SmtpSettings, clock: Clock, *, host: str, sender_name: str) -> None:
        self._settings = settings
        self._host = host
        self._sender_name = settings.sender_name or sender_name
        self._guard = Guard("mail", clock, concurrency=CONCURRENCY, failures=FAILURES, pause=PAUSE)

    def send(self, outgoing: Outgoing) -> str:
        """See Gateway."""
        mail = self._compose(outgoing)
        with self._guard.lookup_passage():
            return self._hand_over(mail, outgoing, _unheard)

    def rehearse(self, outgoing: Outgoing) -> Iterator[CheckStep]:
        """See Gateway."""
        heard: list[CheckStep] = []
        failed: CheckStep | None = None

        def note(title: str, explanation: str) -> None:
            heard.append(CheckStep(title=title, outcome="ok", explanation=explanation))

        try:
            receipt = self._hand_over(self._compose(outgoing), outgoing, note)
        except GatewayUnreachable as error:
            advice = ADVICE.get(error.trouble, "")
            failed = CheckStep(title="Mail server", outcome="failed", explanation=f"{error.detail}. {advice}".strip())
        except NotDelivered as error:
            failed = CheckStep(title="Mail server", outcome="failed", explanation=f"it did not take the mail: {error.detail}")
        else:
            note("Mail", f"{receipt}: the server has taken it")
        yield from heard
        if failed is not None:
            yield failed

    def close(self) -> None:
        """See Gateway."""

    def _compose(self, outgoing: Outgoing) -> EmailMessage:
        settings = self._settings
        try:
            return compose(
                outgoing, sender=settings.sender or "", sender_name=self._sender_name, reply_to=settings.reply_to, host=self._host
            )
        except ValueError as error:
            raise NotDelivered("the address or the subject is not one that a mail can carry", is_final=True) from error

    def _hand_over(self, mail: EmailMessage, outgoing: Outgoing, note: Note) -> str:
        with self._translated():
            server = self._connect(note)
        try:
            with self._translated(may_have_arrived=True):
                server.send_message(mail, from_addr=self._settings.sender or "", to_addrs=[outgoing.to])
        finally:
            _leave(server)
        return "accepted by the mail server"

    def _connect(self, note: Note) -> smtplib.SMTP:
        settings = self._settings
        host, seconds = settings.host or "", settings.timeout.total_seconds()
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
        server: smtplib.SMTP
        if settings.security == "tls":
            server = smtplib.SMTP_SSL(host, settings.port, local_hostname=self._host, timeout=seconds, context=context)
            note("TLS", "from the first byte, the certificate is trusted")
        else:
            server = smtplib.SMTP(host, settings.port, local_hostname=self._host, timeout=seconds)
            note("Connection", f"{host}:{settings.port}")
        try:
            server.ehlo_or_helo_if_needed()
            if settings.security == "starttls":
                if not server.has_extn("starttls"):
                    raise GatewayUnreachable("the server does not offer STARTTLS", trouble="tls_failed")
                server.starttls(context=context)
                server.ehlo()
                note("STARTTLS", "the certificate is trusted")
            if settings.username is not None:
                server.login(settings.username, settings.password or "")
                note("Login", "accepted")
        except BaseException:
            _leave(server)
            raise
        return server

    @contextmanager
    def _translated(self, *, may_have_arrived: bool = False) -> Iterator[None]:
        """The library's errors as ours, with a server's words only after what they tell is struck out."""
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            code, words = next(iter(error.recipients.values()))
            raise NotDelivered(_said(code, words), is_final=500 <= code < 600) from error
        except smtplib.SMTPAuthenticationError as error:
            raise NotDelivered(f"the login was refused ({_said(error.smtp_code, error.smtp_error)})", is_final=False) from error
        except smtplib.SMTPServerDisconnected as error:
            raise GatewayUnreachable("the server closed the connection", trouble="closed", may_have_arrived=may_have_arrived) from error
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(
                _said(error.smtp_code, error.smtp_error), is_final=may_have_arrived and 500 <= error.smtp_code < 600
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise NotDelivered("the server does not offer what is needed (login, or international addresses)", is_final=False) from error
        except smtplib.SMTPException as error:
            raise GatewayUnreachable(type(error).__name__, trouble="unavailable", may_have_arrived=may_have_arrived) from error
        except OSError as error:
            raise GatewayUnreachable(_words(error), trouble=_trouble(error), may_have_arrived=may_have_arrived) from error


ADVICE = {
    "timeout": "Is it reachable from this machine (firewall, port)?",
    "refused": "Is its name right, and does it listen on this port?",
    "tls_untrusted": "Give the authority that signed its certificate as `mail.ca_file`.",
    "tls_name": "The certificate is for another host: check `mail.host`.",
    "tls_failed": "Check `mail.security` and `mail.port` (587 starttls, 465 tls).",
}


def _unheard(_title: str, _explanation: str) -> None:
    return


def _leave(server: smtplib.SMTP) -> None:
    """Say goodbye if the server still listens; the mail's fate is known by now."""
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()


def _said(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    enhanced = ENHANCED.match(text)  # RFC 3463: says more than the words do
    return f"{code} {enhanced[0] if enhanced else ''}{without_telling(text[enhanced.end() :] if enhanced else text)}"


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return without_telling(f"its certificate is not trusted: {error.verify_message}")
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return without_telling(error.strerror or type(error).__name__)


def _trouble(error: OSError) -> Trouble:
    if isinstance(error, ssl.SSLCertVerificationError):
        return {10: "tls_expired", 62: "tls_name", 64: "tls_name"}.get(error.verify_code, "tls_untrusted")  # type: ignore[return-value]  # X509_V_ERR_*
    if isinstance(error, ssl.SSLError):
        return "tls_failed"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "refused" if isinstance(error, ConnectionRefusedError | socket.gaierror) else "closed"
