"""What an operator writes of the mail server. The docstring under a field is its documentation."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from connectors.mail.address import check_address, check_words
from connectors.settings import Duration, LocalPath, Secret, Settings


class SmtpSettings(Settings):
    """The server that takes our mail."""

    host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")
    """Its name. null: no mail is sent, so people are not told when something of theirs changes."""
    port: int = Field(default=587, ge=1, le=65535)
    """587 with `starttls`, 465 with `tls`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """starttls: TLS is begun before anything is said, and nothing is sent without; tls: from the first byte; none: only for a server on this very
    machine."""
    username: str | None = None
    """Login. null: none is needed."""
    password: Secret | None = Field(default=None, repr=False)
    """Its password: file:<path> or env:<NAME>."""
    ca_file: LocalPath | None = None
    """PEM file of the authority that signed its certificate. null: this machine's authorities."""
    timeout: Duration = timedelta(seconds=10)
    """How long each of its answers may take."""
    sender: Annotated[str, AfterValidator(check_address)] | None = None
    """The address that mail comes from; needed with `host`."""
    sender_name: Annotated[str, AfterValidator(check_words)] = ""
    """The name beside it. Empty: `pages.product_name`."""
    reply_to: Annotated[str, AfterValidator(check_address)] | None = None
    """Where answers go. null: to the sender."""
