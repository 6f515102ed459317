"""The headers that every answer of a page carries.

Owns the content security policy and its companions; knows nothing of what is on the page. Sources: CSP Level 3, RFC 6797 (HSTS), OAuth 2.0 Security
BCP (RFC 9700) section 4.16 on clickjacking.
"""

from urllib.parse import urlsplit

from flask import Response

HTML = (
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("X-Frame-Options", "DENY"),
)
HSTS = "max-age=31536000"


def secure(response: Response, *, uses_https: bool, form_action: str | None) -> Response:
    """Add what is missing. `form_action`: the validated address of a client to which this page's form may lead."""
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Cache-Control", "no-store")
    if uses_https:
        headers.setdefault("Strict-Transport-Security", HSTS)
    if response.mimetype == "text/html":
        # same-origin and not no-referrer: the latter makes browsers send "Origin: null" with our own forms.
        headers.setdefault("Referrer-Policy", "same-origin")
        headers.setdefault("Content-Security-Policy", content_security_policy(form_action))
        for name, value in HTML:
            headers.setdefault(name, value)
    return response


def content_security_policy(form_action: str | None) -> str:
    """The policy of a page. Chromium applies form-action to the redirects that follow a POST, so the client's origin must be there."""
    source = form_source(form_action) if form_action else None
    target = f"'self' {source}" if source else "'self'"
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        f"form-action {target}; frame-ancestors 'none'; base-uri 'none'"
    )


def form_source(uri: str) -> str:
    """A redirect URI as a CSP source: its origin, or its scheme where CSP has no way to write the host (IPv6, an application's own scheme)."""
    parts = urlsplit(uri)
    if parts.scheme not in {"http", "https"} or "[" in parts.netloc or "@" in parts.netloc:
        return f"{parts.scheme}:"
    return f"{parts.scheme}://{parts.netloc}"
