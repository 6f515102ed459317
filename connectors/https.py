"""HTTPS to a provider: an answer bounded in size and in time, redirects not followed, certificates verified, nothing of the environment used.

Owns one exchange and the words for its failure; what is asked, and what an answer means, is the caller's. What is sent and what comes back holds
secrets and tokens: neither is in an error.
"""

import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import httpx

from connectors.base import Clock, SourceMisbehaved, SourceUnreachable, Trouble


def open_client(timeout: timedelta, ca_file: Path | None, *, proxy: str | None = None) -> httpx.Client:
    """A client that REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and proxies of the environment do not change. Raises SourceUnreachable (tls_untrusted)."""
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SourceUnreachable(f"cannot read {ca_file} as certificates", trouble="tls_untrusted") from error
    return httpx.Client(
        timeout=timeout.total_seconds(),
        follow_redirects=False,
        trust_env=False,
        verify=context,
        proxy=proxy,
        # As it comes: a short answer that unpacks into a long one is not unpacked.
        headers={"User-Agent": "Vestibule", "Accept": "application/json", "Accept-Encoding": "identity"},
    )


def exchange(
    client: httpx.Client,
    request: httpx.Request,
    *,
    where: str,
    clock: Clock,
    most_bytes: int,
    longest: timedelta,
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (capitals not told apart) and body. Raises SourceUnreachable, and SourceMisbehaved for more than `most_bytes`."""
    began = clock.now()
    try:
        response = client.send(request, stream=True)
        try:
            raw = b""
            for piece in response.iter_raw():  # as it arrives: a full buffer may never come
                raw += piece
                if len(raw) > most_bytes:
                    raise SourceMisbehaved(f"{where}: an answer of more than {most_bytes} bytes")
                if clock.now() - began > longest:
                    raise SourceUnreachable(f"{where}: an answer that does not end", trouble="timeout")
        finally:
            response.close()
    except httpx.TimeoutException as error:
        raise SourceUnreachable(f"{where} did not answer in time", trouble="timeout") from error
    except httpx.HTTPError as error:
        raise SourceUnreachable(f"{where}: {words_of(error)}", trouble=trouble_of(error)) from error
    return response.status_code, response.headers, raw


def words_of(error: httpx.HTTPError) -> str:
    """The kind of a failure and OpenSSL's or the system's own words, which never hold what was sent."""
    return f"{type(error).__name__}: {error}"[:200] if isinstance(error, httpx.ConnectError) else type(error).__name__


def trouble_of(error: httpx.HTTPError) -> Trouble:
    """What stood in the way of an exchange."""
    text = str(error)
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    if isinstance(error, httpx.ProxyError):
        return "refused"
    if not isinstance(error, httpx.ConnectError):
        return "closed"
    if "certificate has expired" in text or "not yet valid" in text:
        return "tls_expired"
    if "Hostname mismatch" in text or "IP address mismatch" in text or "doesn't match" in text:
        return "tls_name"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "tls_untrusted"
    return "tls_failed" if "SSL" in text else "refused"
