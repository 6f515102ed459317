"""How an upstream provider's refresh token is kept: sealed by the keyring, for one Link; the same seal for one that waits to be linked.

Owns the seal's purpose and what it is bound to. idp/signin makes it when a person arrives, idp/lifecycle opens it to ask the provider again.
"""

from idp.crypto import Keyring
from idp.store.base import Link

PURPOSE = "upstream refresh token"


def seal_refresh_token(keyring: Keyring, token: str, *, connector: str, subject: str) -> bytes:
    """What Link.refresh_seal holds."""
    return keyring.seal(PURPOSE, token.encode(), f"{connector}/{subject}")


def open_refresh_token(keyring: Keyring, link: Link) -> str:
    """The refresh token of a Link that has one. VestibuleError("seal_broken") when it was altered, moved or sealed under another master key."""
    return keyring.unseal(PURPOSE, link.refresh_seal or b"", f"{link.connector}/{link.subject}").decode()
