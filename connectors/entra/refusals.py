"""What Entra's error answers mean to us: its AADSTS numbers (`error_codes`) and OAuth errors, as errors of our family and as words for an operator.

Source: Microsoft's "Microsoft Entra authentication and authorization error codes". The description that Entra writes may hold names, addresses and
what a stranger typed: of it only the number is kept.
"""

import re
from collections.abc import Mapping
from typing import Any

from connectors.base import ConnectorError, Lapsed, PersonNotUsable, SourceMisbehaved, SourceUnreachable, State, UpstreamRefused

DISABLED = frozenset({50057, 500571})
DISABLED_WORDS = "the account is disabled in Entra"
GONE = frozenset({50034, 51004, 500341})  # deleted there
# Not assigned to our application, of another tenant, stopped by a policy (50105, 50020, 50131): one click in Entra says that of everybody at once. It
# opens nothing and ends what stood on it, but is no word on the person.
NOT_LET_IN = frozenset({50105, 50020, 50131})
PASSING = frozenset({90033, 90006, 90012, 90019, 90020, 90024, 90055})
PASSING_ERRORS = frozenset({"temporarily_unavailable", "server_error"})
# Not invalid_request: a stranger's rubbish for a code makes that, and must not look like Entra being down.
OURS_ERRORS = frozenset(
    {"invalid_client", "unauthorized_client", "invalid_scope", "invalid_resource", "unsupported_grant_type", "invalid_tenant"}
)
OURS = frozenset({700016, 700024, 700027, 7000112, 7000215, 7000216, 7000218, 7000222, 7000229, 90002, 900023, 50011, 500113, 50194, 70011})
ERROR_NAME = re.compile(r"^[a-z_]{1,60}$")

WHAT_TO_DO: Mapping[int, str] = {
    7000215: "The client secret is wrong. Entra shows a secret's value once, when it is made, and its id for ever: `client_secret` must be"
    " the value.",
    7000222: "The client secret has expired. Make another in Entra (Certificates & secrets), write it where `client_secret` points, and its end in"
    " `client_secret_expires`.",
    7000218: "Entra wants a credential of us and got none that it knows: check `client_secret` or `certificate`.",
    7000216: "Entra wants a credential of us: check `client_secret` or `certificate`.",
    700027: "Entra does not know our certificate: upload its public part (Certificates & secrets, Certificates), or check that `certificate` is the"
    " one that is there.",
    700024: "Entra finds our signed statement outside its time: the clock of this machine is wrong.",
    7000229: "The application is not in this tenant: an administrator of the tenant must consent to it once.",
    700016: "No application of that id in the tenant: check `client_id` and `tenants`, and for another tenant that its administrator has consented.",
    7000112: "The application is disabled in Entra (Enterprise applications, Properties, Enabled for users to sign-in).",
    90002: "Entra knows no such tenant: check `tenants`.",
    900023: "Entra knows no such tenant: check `tenants`.",
    50011: "The redirect URI is not registered: add it to the application in Entra (Authentication, Web), letter for letter.",
    500113: "No redirect URI is registered: add it to the application in Entra (Authentication, Web).",
    50105: "The person is not assigned to the application (Enterprise applications, Users and groups), and assignment is required.",
    50194: "The application is of one tenant and was asked for several: register it for accounts in any organisational directory, or keep one in"
    " `tenants`.",
    65001: "Nobody has consented to what we ask: an administrator must grant it (API permissions, Grant admin consent).",
    90094: "An administrator must consent to what we ask (API permissions, Grant admin consent).",
    70011: "A permission that we ask is not one of Graph's: check `graph` and `authority`, which must be of one cloud.",
    50020: "The person is of another tenant.",
    53003: "Conditional Access does not let the person in.",
}


def code_of(answer: Mapping[str, Any]) -> int | None:
    """The AADSTS number of an error answer: of its list, else of its text; None when it has none."""
    codes = answer.get("error_codes")
    if isinstance(codes, list) and codes and isinstance(codes[0], int):
        return codes[0]
    found = re.search(r"\bAADSTS(\d{3,8})\b", str(answer.get("error_description") or ""))
    return int(found[1]) if found else None


def words_of(answer: Mapping[str, Any]) -> str:
    """An error answer as one line for the log: our words when we have some, never Entra's."""
    code = code_of(answer)
    error = error_of(answer)
    advice = WHAT_TO_DO.get(code or 0)
    return f"Entra refuses: {error}{f', AADSTS{code}' if code else ''}{f'. {advice}' if advice else ''}"


def error_of(answer: Mapping[str, Any]) -> str:
    """The OAuth error, when it is a word."""
    error = str(answer.get("error") or "")
    return error if ERROR_NAME.match(error) else "unknown_error"


def at_the_door(parameters: Mapping[str, str]) -> ConnectorError:
    """What an error that the browser brings means. Whoever sends the browser writes it: it never says who somebody is, nor that Entra is down."""
    return UpstreamRefused(words_of(parameters), error=error_of(parameters))


def at_the_code(answer: Mapping[str, Any]) -> ConnectorError:
    """What an error answer to a code means."""
    code, error = code_of(answer), error_of(answer)
    if ours := _of_ours(answer):
        return ours
    if code in DISABLED | GONE | NOT_LET_IN or error in {"interaction_required", "consent_required", "login_required"}:
        return UpstreamRefused(words_of(answer), error="access_denied")
    return SourceMisbehaved(words_of(answer), problem="code_refused")


def at_the_refresh(answer: Mapping[str, Any], subject: str) -> ConnectorError:
    """What an error answer to a refresh token means for the person."""
    code = code_of(answer)
    if code in DISABLED:
        return PersonNotUsable(f"{DISABLED_WORDS} (AADSTS{code})", state=State.DISABLED, subject=subject, is_proven=False)
    if code in GONE:
        return PersonNotUsable(words_of(answer), state=State.OUT_OF_SCOPE, subject=subject, is_proven=False)
    return _of_ours(answer) or Lapsed(words_of(answer))


def of_ourselves(answer: Mapping[str, Any]) -> ConnectorError:
    """What an error answer to our own credential means, asked for no person."""
    return _of_ours(answer) or SourceUnreachable(words_of(answer), trouble="service_account")


def _of_ours(answer: Mapping[str, Any]) -> ConnectorError | None:
    """What is not about the person: Entra in trouble, or our own registration."""
    code, error = code_of(answer), error_of(answer)
    if code in PASSING or error in PASSING_ERRORS:
        return SourceUnreachable(words_of(answer), trouble="unavailable")
    if code in OURS or error in OURS_ERRORS:
        return SourceUnreachable(words_of(answer), trouble="service_account")
    return None
