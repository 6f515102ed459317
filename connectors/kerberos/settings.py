"""What an operator writes of the Windows session. The docstring under a field is its documentation."""

from datetime import timedelta

from pydantic import Field

from connectors.settings import Duration, LocalPath, Settings

LARGEST_TOKEN_BYTES = 48_000  # what Windows itself keeps to (MaxTokenSize): somebody in hundreds of groups


class KerberosSettings(Settings):
    """Kerberos tickets of one domain or realm."""

    realm: str = Field(pattern=r"^[A-Z0-9]([A-Z0-9.-]*[A-Z0-9])?$")
    """The realm whose people these are, in capitals: AD.EXAMPLE.FR. Nobody of another realm is let in."""
    keytabs: tuple[LocalPath, ...] = Field(min_length=1, max_length=4)
    """Keytab files with the keys of our service (HTTP/<host of the issuer>), the newest first; several while keys are replaced."""
    services: tuple[str, ...] = Field(default=(), max_length=4)
    """Service names that are accepted, HTTP/host@REALM. Empty: HTTP/<host of the issuer>."""
    generic_accounts: tuple[str, ...] = ()
    """Windows accounts that several people share (an open session of a ward's computer): their tickets say nothing of who is there. `*` at the end
    stands for anything: ward-*."""
    controllers: tuple[str, ...] = ()
    """Key distribution centres (host or host:port) that `vestibule connector check` asks for a ticket to try. A sign-in asks none."""
    timeout: Duration = timedelta(seconds=3)
    """How long a ticket may take to be verified; it takes a few milliseconds."""
    concurrency: int = Field(default=2, ge=1, le=16)
    """Tickets verified at once by one server process; the rest wait for a moment, and then get the page."""
    breaker_failures: int = Field(default=5, ge=1, le=100)
    """After this many tickets in a row that could not be verified in time, none is for `breaker_pause`."""
    breaker_pause: Duration = timedelta(seconds=10)
    """How long; then one is tried."""
