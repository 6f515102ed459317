"""What an audit line says: the closed lists of event types and reason codes, and the Event value.

Owns the vocabulary and the facts every Event carries; idp/store/events.py keeps them, append-only. Every refusal in the program is one
Event with one reason code from here. The facts a decision was taken on (zone, network chain, proofs, client, establishment) are
columns, not prose, so that the past can be judged again by a new rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self


class Described(StrEnum):
    """A code with its one-line description, shown in docs/reference."""

    description: str

    def __new__(cls, code: str, description: str = "") -> Self:
        """A member; with one argument, as everywhere outside this module, the look-up of an existing one."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.description = description
        return member


class EventType(Described):
    """What happened: `subject.verb`, past tense."""

    SIGNIN_SUCCEEDED = "signin.succeeded", "A person proved who they are and a Session was opened or renewed."
    SIGNIN_REFUSED = "signin.refused", "A proof or an access check failed; the reason says which."
    SIGNIN_CANCELLED = "signin.cancelled", "The person gave up on the page and went back to the application."
    SIGNIN_RESTARTED = "signin.restarted", "A page was expired, stale or from another browser; the person was told what to do."
    AUTHORIZATION_GRANTED = "authorization.granted", "A code was issued to a client for a person and an establishment."
    AUTHORIZATION_REFUSED = "authorization.refused", "An authorization request was refused, on a page or by redirect."
    CONSENT_GIVEN = "consent.given", "The person agreed to give a client what it asked."
    CONSENT_REFUSED = "consent.refused", "The person declined to give a client what it asked."
    TOKEN_ISSUED = "token.issued", "The token endpoint issued tokens."
    TOKEN_REFUSED = "token.refused", "The token endpoint refused a request."
    TOKEN_REPEATED = "token.repeated", "The same refresh answer was given again within the retry window."
    TOKEN_REVOKED = "token.revoked", "A client gave a token back."
    INTROSPECTION_REFUSED = "introspection.refused", "An introspection or revocation request was refused."
    USERINFO_REFUSED = "userinfo.refused", "The userinfo endpoint refused an access token."
    SESSION_OPENED = "session.opened", "A browser was given a Session."
    SESSION_ENDED = "session.ended", "A Session ended; the reason is the cause."
    GRANT_ENDED = "grant.ended", "A Grant and its token family ended; the reason is the cause."
    BREAK_GLASS_USED = "break_glass.used", "The break-glass account was used: an alarm."
    BREAK_GLASS_SEALED = "break_glass.sealed", "A break-glass account was given a new sealed password."
    LOGOUT_REQUESTED = "logout.requested", "A person or an application asked to sign out."
    LOGOUT_REFUSED = "logout.refused", "A logout request was not valid and was answered with a page."
    LOGOUT_DELIVERED = "logout.delivered", "An application acknowledged a back-channel logout token."
    LOGOUT_RETRIED = "logout.retried", "A back-channel logout could not be delivered and will be tried again."
    LOGOUT_ABANDONED = "logout.abandoned", "A back-channel logout was given up after all its tries: an alarm."
    PASSWORD_CHANGED = "password.changed", "A person changed their local password."
    PASSWORD_CHANGE_REFUSED = "password.change_refused", "A new local password was refused."
    ACCOUNT_ADDED = "account.added", "An Account was created."
    ACCOUNT_SUSPENDED = "account.suspended", "An Account was suspended; its Sessions and Grants ended."
    ACCOUNT_REINSTATED = "account.reinstated", "A suspended Account was made active again."
    ACCOUNT_LINKED = "account.linked", "An Account was created for, or recognised as, a person of a directory."
    ACCOUNT_CHANGED = "account.changed", "What a directory says of a person changed, and the Account with it; the details name the fields."
    ACCOUNT_UNBLOCKED = "account.unblocked", "An operator made an Account's failed sign-ins forgotten, so that the person need not wait."
    ACCOUNT_ENDED = "account.ended", "An Account was ended for good."
    ACCOUNT_PASSWORD_SET = "account.password_set", "An operator set a local password; it must be changed at the next sign-in."
    ACCOUNTS_IMPORTED = "accounts.imported", "A CSV import ran; the details count its lines."
    ATTACHMENT_ADDED = "attachment.added", "An Account was attached to an establishment."
    ATTACHMENT_ENDED = "attachment.ended", "An Attachment was ended before its last day."
    ESTABLISHMENT_CHANGED = "establishment.changed", "An establishment was added or changed."
    CLIENT_CHANGED = "client.changed", "A client was added or changed."
    CLIENT_ENDED = "client.ended", "A client was withdrawn."
    KEYS_ROTATED = "keys.rotated", "The signing keys moved on by one: next became current, current became retired."
    SYNC_DONE = "sync.done", "A whole directory was read and its people written; the details count them."
    SYNC_HELD = "sync.held", "A reading would end so many people that it changed nothing and waits for a human."
    SYNC_CONFIRMED = (
        "sync.confirmed",
        "An operator confirmed a held reading: the people it named were asked for again, and ended if still gone.",
    )
    SYNC_DISMISSED = "sync.dismissed", "An operator dismissed a held reading; nobody is held by it any more."
    SYNC_FAILED = "sync.failed", "A reading could not be finished; nobody was judged absent."
    STANDING_HELD = "standing.held", "The directory's word would end a person whom a held reading protects; nothing was ended."
    CONFIGURATION_APPLIED = "configuration.applied", "Establishments and clients of the configuration were written to the store."
    AUDIT_EXPORTED = "audit.exported", "An operator exported part of the audit trail."
    SERVER_STARTED = "server.started", "A server began to answer."
    REQUEST_REFUSED = "request.refused", "A request was refused before it reached a room (form token, size, method)."


class Reason(Described):
    """Why: the closed list of reason codes. A code once published never changes its meaning."""

    # Sign-in
    UNKNOWN_IDENTIFIER = "unknown_identifier", "No account carries the identifier; it is kept only as a keyed hash."
    AMBIGUOUS_IDENTIFIER = "ambiguous_identifier", "Several accounts carry the identifier and the establishment is not known."
    WRONG_PASSWORD = "wrong_password", "The password does not match."
    DIRECTORY_DISABLED = "directory_disabled", "The directory says that the account is disabled."
    DIRECTORY_EXPIRED = "directory_expired", "The directory says that the account has expired."
    DIRECTORY_GONE = "directory_gone", "The directory has no such entry any more."
    DIRECTORY_OUT_OF_SCOPE = "directory_out_of_scope", "The directory's entry is not one that the settings let in any more."
    DIRECTORY_UNPLACED = "directory_unplaced", "No mapping rule places the person of the directory anywhere any more."
    DIRECTORY_LOCKED = "directory_locked", "The directory has locked the account after wrong passwords."
    DIRECTORY_UNREACHABLE = (
        "directory_unreachable",
        "The directory did not answer, or not over a trusted connection; the details say which.",
    )
    DIRECTORY_MISBEHAVED = "directory_misbehaved", "The directory answered something that must not be believed."
    SYNC_BRAKE = "sync_brake", "A reading would end more people than the brake lets pass."
    DIRECTORY_REFUSED_CHANGE = "directory_refused_change", "The directory did not take the new password; the details say why."
    PASSWORD_SEALED = "password_sealed", "The break-glass account's password is only changed by sealing it again."
    NO_PASSWORD = "no_password", "The account has no local password."
    ACCOUNT_NOT_ACTIVE = "account_not_active", "The account is suspended or ended."
    THROTTLED = "throttled", "Too many failures: the person must wait."
    NO_ATTACHMENT = "no_attachment", "The account is attached to no establishment."
    ATTACHMENT_NOT_STARTED = "attachment_not_started", "The attachment begins later."
    ATTACHMENT_ENDED = "attachment_ended", "The attachment's last day is past."
    CLIENT_NOT_OPEN_TO_ESTABLISHMENT = "client_not_open_to_establishment", "The client does not serve this establishment."
    CLIENT_NOT_OPEN_TO_PROFILE = "client_not_open_to_profile", "The client does not serve this profile."
    NOTHING_SAID = "nothing_said", "No rule allowed it, so it is denied."
    PASSWORD_MUST_CHANGE = "password_must_change", "The password was set by somebody else and must be changed first."
    PASSWORD_TOO_WEAK = "password_too_weak", "The new password does not meet the rules; the details say which."
    PASSWORD_REUSED = "password_reused", "The new password is one of the last three."
    INTERACTION_EXPIRED = "interaction_expired", "The sign-in page was left open too long, or was already used."
    INTERACTION_OF_ANOTHER_BROWSER = "interaction_of_another_browser", "The sign-in page was opened in a browser that did not begin it."
    LOOP = "loop", "The application sent the browser back too often: cookies are probably blocked."
    BAD_FORM_TOKEN = "bad_form_token", "The form's token is missing or stale."
    CANCELLED_BY_PERSON = "cancelled_by_person", "The person pressed Cancel."
    DEMO_ACCOUNT = "demo_account", "A demonstration account was used on an issuer that is not loopback."
    # Authorization requests (OAuth and OpenID Connect error codes are used as they stand)
    UNKNOWN_CLIENT = "unknown_client", "No such client, or it was withdrawn."
    REDIRECT_URI_MISMATCH = "redirect_uri_mismatch", "The redirect URI is not one the client registered, letter for letter."
    INVALID_REQUEST = "invalid_request", "A parameter is missing, malformed or repeated."
    DUPLICATE_PARAMETER = "duplicate_parameter", "A parameter appears more than once."
    UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type", "Only the authorization code flow is offered."
    UNAUTHORIZED_CLIENT = "unauthorized_client", "The client is not registered for this grant or response type."
    INVALID_SCOPE = "invalid_scope", "A scope is unknown, malformed or not allowed to this client."
    INVALID_TARGET = "invalid_target", "The resource is not in the client's allow list (RFC 8707)."
    PKCE_REQUIRED = "pkce_required", "The client must send an S256 code challenge."
    PKCE_METHOD_REFUSED = "pkce_method_refused", "Only S256 is accepted."
    REQUEST_NOT_SUPPORTED = "request_not_supported", "The request parameter is not supported."
    REQUEST_URI_NOT_SUPPORTED = "request_uri_not_supported", "The request_uri parameter is not supported."
    REGISTRATION_NOT_SUPPORTED = "registration_not_supported", "The registration parameter is not supported."
    LOGIN_REQUIRED = "login_required", "prompt=none was asked and the person must act to sign in."
    CONSENT_REQUIRED = "consent_required", "prompt=none was asked and the person must consent."
    ACCOUNT_SELECTION_REQUIRED = "account_selection_required", "prompt=none was asked and the person must choose."
    INTERACTION_REQUIRED = "interaction_required", "prompt=none was asked and a page must be shown."
    ACCESS_DENIED = "access_denied", "The person, or a rule, denied the request."
    UNMET_AUTHENTICATION_REQUIREMENTS = "unmet_authentication_requirements", "An essential acr cannot be met."
    # Token endpoint and its siblings
    CLIENT_AUTHENTICATION_FAILED = "client_authentication_failed", "The client did not prove who it is."
    CLIENT_ASSERTION_REPLAYED = "client_assertion_replayed", "The client assertion's jti was used before."
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type", "The grant type is not offered."
    INVALID_GRANT = "invalid_grant", "The code or refresh token is unknown or not this client's."
    CODE_EXPIRED = "code_expired", "The code is older than its life."
    CODE_REPLAYED = "code_replayed", "The code was used before: its Grant is ended."
    CODE_OF_ANOTHER_CLIENT = "code_of_another_client", "The code was issued to another client."
    PKCE_MISMATCH = "pkce_mismatch", "The code verifier does not match the challenge, is missing, or was not expected."
    REFRESH_EXPIRED = "refresh_expired", "The refresh token is older than its life."
    REFRESH_REPLAYED = "refresh_replayed", "A rotated refresh token came back: its Grant is ended."
    REFRESH_OF_ANOTHER_CLIENT = "refresh_of_another_client", "The refresh token was issued to another client."
    GRANT_NOT_ALIVE = "grant_not_alive", "The Grant, its Session or its Account has ended."
    INVALID_TOKEN = "invalid_token", "The access token is malformed, expired, revoked or not ours."
    INSUFFICIENT_SCOPE = "insufficient_scope", "The access token does not carry the scope that is needed."
    UNSUPPORTED_TOKEN_TYPE = "unsupported_token_type", "The token type hint is not known."
    # Causes of endings
    SIGNED_OUT = "signed_out", "The person signed out."
    SIGNED_OUT_BY_APPLICATION = "signed_out_by_application", "An application asked for the sign-out (RP-initiated logout)."
    IDLE = "idle", "No activity for the idle limit."
    ABSOLUTE_LIMIT = "absolute_limit", "The session reached its absolute limit."
    SESSION_LIMIT = "session_limit", "The person closed an earlier session to open a new one."
    REPLACED = "replaced", "Another sign-in took this browser's session."
    ENDED_BY_PERSON = "ended_by_person", "The person ended the session from their account page."
    ENDED_BY_OPERATOR = "ended_by_operator", "An operator ended it."
    ACCOUNT_CUT = "account_cut", "The account was suspended or ended."
    CREDENTIAL_CHANGED = "credential_changed", "The password changed, so the other sessions ended."
    CLIENT_WITHDRAWN = "client_withdrawn", "The client was withdrawn."
    TOKEN_GIVEN_BACK = "token_given_back", "The client revoked the token."
    ATTACHMENT_LOST = "attachment_lost", "The attachment the session stood on is no longer valid."
    # Logout and delivery
    INVALID_LOGOUT_HINT = "invalid_logout_hint", "The id_token_hint is not ours or not this client's."
    POST_LOGOUT_URI_MISMATCH = "post_logout_uri_mismatch", "The post-logout redirect URI is not registered."
    DELIVERY_FAILED = "delivery_failed", "The application did not answer 200 or 204."
    # Requests and the system
    TOO_LARGE = "too_large", "The request is larger than allowed."
    STORE_UNAVAILABLE = "store_unavailable", "A store did not answer; nothing was done."
    INTERNAL_ERROR = "internal_error", "The program broke; the log holds the detail."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, as concluded once at the edge; stored with every Event it causes.

    `request_id` is ten Crockford characters, and is the support code shown to people. `network_chain` lists the addresses walked, the peer
    first. `zone` is "<establishment's slug>/<zone's name>" or "outside", `zone_kind` a policies.zones.ZoneKind or "outside", and `zone_why` the code
    of how that was concluded. The zone is the address's until an establishment is active; whether it is trusted *there* is concluded again then.
    `is_doubtful`: the address is the last machine known for sure and not the person's.
    """

    request_id: str
    address: str
    network_chain: tuple[str, ...] = ()
    zone: str = "outside"
    user_agent: str = ""
    zone_kind: str = "outside"
    zone_why: str = "not_concluded"
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something to the store and from where, for the Events it causes. `actor` is written as in an Event."""

    actor: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One audit line. `actor` is `account:<id>`, `client:<id>`, `operator:<os user>`, `anonymous` or `system`."""

    type: EventType
    at: datetime
    actor: str
    origin: Origin
    reason: Reason | None = None
    account_id: str | None = None
    identifier_hash: str | None = None
    client_id: str | None = None
    establishment_id: str | None = None
    session_id: str | None = None
    grant_id: str | None = None
    connector: str | None = None
    amr: tuple[str, ...] = ()
    acr: str | None = None
    device_id: str | None = None
    workstation_id: str | None = None
    decision: Mapping[str, Any] | None = None  # the facts that a rule decided on, its verdict and its trace (policies/rules.py), as JSON
    details: Mapping[str, str | int | bool | None] = field(default_factory=dict)

    @property
    def is_refusal(self) -> bool:
        """Whether the line records that something was refused or failed."""
        return self.type.value.rsplit(".", 1)[1] in {"refused", "abandoned", "change_refused"}
