"""Which source is writing: shown by a bearer secret of the configuration, or by an access token of ours that a client got for itself (RFC 6750).

A source sees and changes its own people alone. Every secret is compared, whichever it is, so that the time says nothing.
"""

from collections.abc import Callable

from idp.audit import Reason
from idp.config import ScimSettings
from idp.config.scim import SCOPE
from idp.crypto import digest, same
from idp.scim.errors import ScimError

LONGEST = 16_384
ReadMachine = Callable[[str, str], tuple[str, frozenset[str]] | None]
"""The client that an access token of client_credentials, made for us or for a resource, is about, and its scopes; None: no such token (idp/oauth)."""


class Callers:
    """The sources, by what they show."""

    def __init__(self, sources: tuple[ScimSettings, ...], read_machine: ReadMachine, *, resource: str) -> None:
        self._digests = tuple(
            (digest(token), source, f"token {number}") for source in sources for number, token in enumerate(source.tokens, 1)
        )
        self._by_client = {client: source for source in sources for client in source.clients}
        self._read_machine = read_machine
        self._resource = resource

    def source_of(self, authorization: str) -> tuple[ScimSettings, str]:
        """The source that an Authorization header is of, and by what it was let in: an old token that is still in use is seen. Raises ScimError (401,
        403), StoreUnavailable."""
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST or not token.isascii() or not token.isprintable():
            raise _unproven("Bearer")
        shown = digest(token)
        found = [(source, by) for kept, source, by in self._digests if same(shown, kept)]
        if found:
            return found[0]
        machine = self._read_machine(token, self._resource) if token.count(".") == 2 and self._by_client else None
        if machine is None:
            raise _unproven('Bearer error="invalid_token"')
        client_id, scopes = machine
        source = self._by_client.get(client_id)
        if source is None or SCOPE not in scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{SCOPE}"'
            raise ScimError(
                403, "The token may not write here", reason=Reason.INSUFFICIENT_SCOPE, headers=(("WWW-Authenticate", challenge),)
            )
        return source, f"client {client_id}"


def _unproven(challenge: str) -> ScimError:
    return ScimError(401, "A bearer token of a source is needed", reason=Reason.INVALID_TOKEN, headers=(("WWW-Authenticate", challenge),))
