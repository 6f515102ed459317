"""The code flow with msal: where to send the browser, a code for tokens, a refresh token for tokens.

msal makes the request, PKCE, the nonce and the proof of our credential. It checks nothing for us: what it hands over is read by token.py. It keeps no
token (its cache takes none), caches no answer (a refusal would outlive what it refused) and is not asked to discover instances, which would send our
authority's name to Microsoft's public cloud. Raises what refusals.py makes of an error.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from connectors.base import Clock, SourceMisbehaved
from connectors.entra.credential import read_credential
from connectors.entra.metadata import METADATA_LIFE, Publications
from connectors.entra.refusals import at_the_code, at_the_refresh
from connectors.entra.settings import EntraSettings
from connectors.entra.wire import UNREAD_ID_TOKEN, ForMsal, Wire, origin_of

if TYPE_CHECKING:
    from msal import ConfidentialClientApplication

# msal adds openid, profile and offline_access. GroupMember.Read.All: names of groups, and those of somebody of too many.
SCOPES = ("User.Read", "GroupMember.Read.All")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint answered, nothing of it believed yet."""

    id_token: str | None
    access_token: str | None
    refresh_token: str | None

    def __repr__(self) -> str:
        return "Tokens(…)"


class _Forgetful(dict[Any, Any]):
    """A mapping that keeps nothing: msal's cache of answers, which would remember a refusal for a minute, by another clock than ours."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Nothing is kept."""


class CodeFlow:
    """msal, opened at first use. Safe to share between threads; whoever calls is inside a passage of the wire."""

    def __init__(self, settings: EntraSettings, wire: Wire, publications: Publications, *, clock: Clock) -> None:
        self._settings = settings
        self._wire = wire
        self._publications = publications
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: tuple[ConfidentialClientApplication, datetime] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a departure asks nobody anything."""
        with self._lock:
            return self._opened is not None and self._clock.now() - self._opened[1] < METADATA_LIFE

    def begin(self, callback_url: str, **asked: Any) -> tuple[str, dict[str, Any]]:
        """The address to send the browser to, and msal's flow to keep, with the nonce as an ID token will write it."""
        application = self._application()
        flow = application.initiate_auth_code_flow(list(SCOPES), redirect_uri=callback_url, response_mode="form_post", **asked)
        url = flow.pop("auth_uri")
        (flow["nonce_as_sent"],) = parse_qs(urlsplit(url).query)["nonce"]  # msal sends a digest of what it keeps
        return url, flow

    def redeem(self, flow: Mapping[str, Any], parameters: Mapping[str, str]) -> Tokens:
        """A code for tokens. Raises what `at_the_code` says."""
        application = self._application()
        answer = self._ask(lambda: application.acquire_token_by_auth_code_flow(dict(flow), dict(parameters)))
        if "error" in answer:
            raise at_the_code(answer)
        return _tokens(answer)

    def refresh(self, refresh_token: str, *, subject: str) -> Tokens:
        """A refresh token for tokens. Raises what `at_the_refresh` says."""
        application = self._application()
        answer = self._ask(lambda: application.acquire_token_by_refresh_token(refresh_token, list(SCOPES)))
        if "error" in answer:
            raise at_the_refresh(answer, subject)
        return _tokens(answer)

    def rehearse(self, tenant: str) -> Mapping[str, Any]:
        """What the tenant says to our credential alone: a token (of the application, without any right) or an error. For `connector check`."""
        application = self._open(f"{self._settings.authority}/{tenant}")
        scheme, place = origin_of(self._settings.graph)
        return self._ask(lambda: application.acquire_token_for_client([f"{scheme}://{place}/.default"]))

    @staticmethod
    def _ask(call: Callable[[], Any]) -> Mapping[str, Any]:
        try:
            answer = call()
        except (ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
            # Their texts hold what came: only the kind is kept, and the chain is cut.
            raise SourceMisbehaved(f"msal could not read the token answer: {type(error).__name__}") from None
        if not isinstance(answer, Mapping):
            raise SourceMisbehaved("the token answer is no object")
        return answer

    def _application(self) -> "ConfidentialClientApplication":
        with self._lock:
            now = self._clock.now()
            if self._opened is None or now - self._opened[1] >= METADATA_LIFE:
                self._publications.metadata()  # in our own words when it is not there
                self._opened = self._open(self._publications.authority), now
            return self._opened[0]

    def _open(self, authority: str) -> "ConfidentialClientApplication":
        from msal import ConfidentialClientApplication, TokenCache

        class NoTokens(TokenCache):  # type: ignore[misc]  # the library has no annotations
            """Keeps none: a refresh token of ours is sealed and in the store, and nowhere else."""

            def add(self, event: Any, now: Any = None) -> None:
                """Nothing is kept."""

        try:
            return ConfidentialClientApplication(
                self._settings.client_id,
                client_credential=read_credential(self._settings).value,
                authority=authority,
                instance_discovery=False,
                azure_region=False,  # else MSAL_FORCE_REGION would decide where tokens are asked
                http_client=ForMsal(self._wire),
                http_cache=_Forgetful(),
                token_cache=NoTokens(),
            )
        except (ValueError, KeyError) as error:
            raise SourceMisbehaved(f"msal could not read the metadata: {type(error).__name__}") from None


def _tokens(answer: Mapping[str, Any]) -> Tokens:
    return Tokens(*(_text(answer, name) for name in (UNREAD_ID_TOKEN, "access_token", "refresh_token")))


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and value else None
