"""What an operator writes of a stream of the audit trail. The docstring under a field is its documentation."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from connectors.settings import Duration, LocalPath, Settings

StreamName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]


class SyslogSettings(Settings):
    """A syslog server (RFC 5424)."""

    type: Literal["syslog"]
    """syslog."""
    name: StreamName
    """Short name in commands and in the store, where how far it has got is kept; never changes."""
    host: str = Field(pattern=r"^[A-Za-z0-9:]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$")
    """Its name or address."""
    port: int = Field(default=6514, ge=1, le=65535)
    """6514 with `tls`; servers without TLS listen on 514 or 601."""
    transport: Literal["tls", "tcp", "udp"] = "tls"
    """tls (RFC 5425); tcp (RFC 6587, octet counting) and udp (RFC 5426) only towards this machine or a network that nobody else is on. With udp what
    is lost on the way is lost."""
    ca_file: LocalPath | None = None
    """PEM file of the authority that signed its certificate. null: this machine's authorities."""
    certificate: LocalPath | None = None
    """PEM file of our own certificate and key, for a server that asks for one."""
    facility: int = Field(default=13, ge=0, le=23)
    """Syslog facility: 13 is "log audit", 10 "security", 16 to 23 are local0 to local7."""
    hostname: str = Field(default="", max_length=255, pattern=r"^[!-~]*$")
    """What we call ourselves in each message. Empty: the name of this machine."""
    timeout: Duration = timedelta(seconds=5)
    """How long the server may take to connect, and to acknowledge what it was sent."""


class JsonLinesSettings(Settings):
    """A file, one JSON object a line."""

    type: Literal["file"]
    """file."""
    name: StreamName
    """Short name in commands and in the store, where how far it has got is kept; never changes."""
    path: LocalPath
    """The file, made with mode 0600. It is opened anew each time: logrotate may move it away at any instant."""


AnyStream = Annotated[SyslogSettings | JsonLinesSettings, Field(discriminator="type")]
