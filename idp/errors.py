"""The closed family of errors that cross rooms.

Each carries a stable reason code (see idp/audit.py) and a `detail` for the log only; what the public reads is chosen by the
web layer from the code. Library errors are translated where they enter (`raise ... from`).
"""


class VestibuleError(Exception):
    """Root of the family. `reason` is a stable code; `detail` may name internals and never reaches a response."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class ConfigurationError(VestibuleError):
    """The configuration cannot be used; the message lists every finding."""


class StoreUnavailable(VestibuleError):
    """A store did not answer: the caller refuses (fail closed) and says so."""


class EphemeralUnavailable(StoreUnavailable):
    """The ephemeral store did not answer: no sign-in goes on, and the SQL store can keep the Event of it."""


class Refused(VestibuleError):
    """Somebody may not do this, for the coded reason."""
