"""What an operator writes of an SMS gateway. The docstring under a field is its documentation."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from connectors.settings import Duration, LocalPath, Secret, Settings


class SmsSuccess(Settings):
    """How an answer says that the message was taken. Every condition given must hold."""

    statuses: tuple[int, ...] = (200, 201, 202, 204)
    """HTTP statuses."""
    json_path: str | None = None
    """Where to look in a JSON answer: keys and list positions between points, for instance `messages.0.status`. null: nowhere."""
    pattern: str | None = None
    """A regular expression that must be found in what `json_path` leads to, or in the whole answer when that is null. null: none."""


class SmsHttpSettings(Settings):
    """An SMS service reached over HTTPS. In `url`, `headers` and `body` these stand for what is sent, encoded as the place needs: {to} the number
    (+33612345678), {to_digits} the same without +, {text}, {sender}, {secret}, and {id} our own number of the message."""

    method: Literal["POST", "GET", "PUT"] = "POST"
    """HTTP method."""
    url: str
    """Where to send: https. Redirects are not followed."""
    headers: dict[str, str] = {}
    """Headers of the request; {secret}, {sender} and {id} only."""
    format: Literal["json", "form", "none"] = "json"
    """How the body is written. none: everything is in the URL."""
    body: dict[str, Any] = {}
    """The body's fields. With `json` they may hold lists and mappings."""
    username: str | None = None
    """With it, `secret` is sent as the password of HTTP Basic authentication."""
    secret: Secret | None = Field(default=None, repr=False)
    """Password or key of the service: file:<path> or env:<NAME>."""
    ca_file: LocalPath | None = None
    """PEM file of the authority that signed its certificate. null: this machine's authorities."""
    timeout: Duration = timedelta(seconds=5)
    """How long it may take to accept a connection, and again to answer."""
    success: SmsSuccess = SmsSuccess()
    """How its answer says that the message was taken."""
