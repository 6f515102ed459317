"""What an audit line says: the closed lists of event types and reason codes, and the Event value.

Owns the vocabulary and the facts every Event carries; idp/store/events.py keeps them, append-only. Every refusal in the program is one
Event with one reason code from here. The facts a decision was taken on (zone, network chain, proofs, client, establishment) are
columns, not prose, so that the past can be judged again by a new rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    SIGNIN_SPRAYING = (
        "signin.spraying",
        "Many identifiers fail and few succeed, from one address or from everywhere (the details say which): somebody is guessing.",
    )
    SIGNIN_CANCELLED = "signin.cancelled", "The person gave up on the page and went back to the application."
    SIGNIN_DISOWNED = (
        "signin.disowned",
        'A person said "this was not me" of a sign-in of theirs; everything of theirs ended, and the details name the line: an alarm.',
    )
    SIGNIN_RESTARTED = "signin.restarted", "A page was expired, stale or from another browser; the person was told what to do."
    UPSTREAM_ARRIVED = "upstream.arrived", "Somebody came back from an upstream provider, and what it said was checked in full."
    UPSTREAM_REFUSED = "upstream.refused", "What came back from an upstream provider, or did not, is no sign-in; the reason says why."
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
    SESSION_STEPPED_UP = "session.stepped_up", "A second proof was added to a Session that was open."
    SESSION_LOCKED = "session.locked", "A person locked their Session: nothing goes on in it before they show again who they are."
    SESSION_UNLOCKED = "session.unlocked", "The person of a locked Session showed again who they are, and goes on in it."
    SESSION_ENDED = "session.ended", "A Session ended; the reason is the cause."
    GRANT_ENDED = "grant.ended", "A Grant and its token family ended; the reason is the cause."
    DEVICE_SEEN = "device.seen", "A person signed in to the end in a browser that was not known as theirs."
    DEVICE_REMEMBERED = "device.remembered", "A person asked that their second factor not be asked again in this browser for a while."
    DEVICE_ENDED = "device.ended", "Known browsers of a person are known no more; the reason says why."
    BREAK_GLASS_USED = "break_glass.used", "The break-glass account was used: an alarm."
    BREAK_GLASS_SEALED = "break_glass.sealed", "A break-glass account was given a new sealed password."
    CANARY_FAILED = (
        "canary.failed",
        "The canary of a directory was disabled and its application was not told in time: somebody who leaves may keep their access: an alarm.",
    )
    CANARY_RECOVERED = "canary.recovered", "The canary of a directory came through again after a run that had failed."
    LOGOUT_REQUESTED = "logout.requested", "A person or an application asked to sign out."
    LOGOUT_REFUSED = "logout.refused", "A logout request was not valid and was answered with a page."
    LOGOUT_DELIVERED = "logout.delivered", "An application acknowledged a back-channel logout token."
    LOGOUT_RETRIED = "logout.retried", "A back-channel logout could not be delivered and will be tried again."
    STREAM_CREATED = "stream.created", "An application made a Shared Signals stream for itself."
    STREAM_CHANGED = "stream.changed", "A stream, its status or its subjects changed; the details say what."
    STREAM_ENDED = "stream.ended", "An application deleted one of its streams."
    STREAM_REFUSED = "stream.refused", "A Shared Signals request was refused and changed nothing; the reason says why."
    SIGNAL_DELIVERED = "signal.delivered", "An application acknowledged a Security Event Token."
    SIGNAL_RETRIED = "signal.retried", "A Security Event Token could not be delivered and will be tried again."
    SIGNAL_ABANDONED = (
        "signal.abandoned",
        "A Security Event Token was refused by its application, or given up after all its tries: an alarm.",
    )
    LOGOUT_ABANDONED = "logout.abandoned", "A back-channel logout was given up after all its tries: an alarm."
    PASSWORD_CHANGED = "password.changed", "A person changed their local password."
    PASSWORD_SET_ELSEWHERE = "password.set_elsewhere", "A directory says that somebody's password was set there."
    PASSWORD_CHANGE_REFUSED = "password.change_refused", "A new local password was refused."
    ACCOUNT_ADDED = "account.added", "An Account was created."
    ACCOUNT_SUSPENDED = "account.suspended", "An Account was suspended; its Sessions and Grants ended."
    ACCOUNT_REINSTATED = "account.reinstated", "A suspended Account was made active again."
    ACCOUNT_LINKED = (
        "account.linked",
        "An Account was created for, or recognised as, a person of a directory or provider; the details say how.",
    )
    ACCOUNT_UNLINKED = "account.unlinked", "A person of a directory or provider is nobody's here any more, until a proven act."
    ACCOUNT_LINK_REFUSED = "account.link_refused", "Somebody of a directory or provider was not linked to an Account; the reason says why."
    ACCOUNT_MERGED = "account.merged", "Two Accounts were one person: one goes on, the other is retired for good; the details say which."
    ACCOUNT_UNMERGED = "account.unmerged", "A merge was undone: the retired Account has back what was its own and still stands."
    ACCOUNT_CHANGED = "account.changed", "What a directory says of a person changed, and the Account with it; the details name the fields."
    ACCOUNT_LOCKED = "account.locked", "Too many sign-ins failed under an identifier: it is closed until an operator unblocks it."
    ACCOUNT_UNBLOCKED = "account.unblocked", "An operator made an Account's failed sign-ins forgotten, so that the person need not wait."
    ACCOUNT_ENDED = "account.ended", "An Account was ended for good."
    ACCOUNT_PASSWORD_SET = "account.password_set", "An operator set a local password; it must be changed at the next sign-in."
    ACCOUNTS_IMPORTED = "accounts.imported", "A CSV import ran; the details count its lines."
    ATTACHMENT_ADDED = "attachment.added", "An Account was attached to an establishment."
    ATTACHMENT_ENDED = "attachment.ended", "An Attachment was ended before its last day."
    ESTABLISHMENT_CHANGED = "establishment.changed", "An establishment was added or changed."
    ZONE_CHANGED = "zone.changed", "A zone of an establishment was added, changed or ended; the details name it and say what."
    WORKSTATION_ENROLLED = "workstation.enrolled", "A machine was enrolled with a contact's pass."
    WORKSTATION_REFUSED = "workstation.refused", "A pass for a workstation was refused; the reason says why."
    WORKSTATION_ENDED = "workstation.ended", "An enrolled machine is one no more; the reason says why."
    WORKSTATION_STOLEN = "workstation.stolen", "A workstation's old secret came back: it was copied, and the workstation ended: an alarm."
    NETWORK_SUSPICIOUS = "network.suspicious", "Nearly every sign-in seems to come from one place: a proxy hides who asks."
    CLIENT_CHANGED = "client.changed", "A client was added or changed."
    CLIENT_ENDED = "client.ended", "A client was withdrawn."
    CLIENT_TRIED = "client.tried", "An administrator tried a client's sign-in with their own account; nothing was issued."
    CONNECTOR_TRIED = "connector.tried", "A directory, a provider or a realm was tried step by step from the console; the details count."
    KEYS_ROTATED = "keys.rotated", "The signing keys moved on by one: next became current, current became retired."
    FACTOR_ENROLLED = "factor.enrolled", "A person added a second factor; the details name its kind and what let them."
    FACTOR_REMOVED = "factor.removed", "A second factor was removed by its person."
    FACTOR_RENAMED = "factor.renamed", "A person gave a second factor another name."
    FACTOR_REFUSED = "factor.refused", "A try at a second factor failed or was not admitted; the reason says which."
    FACTORS_RESET = "factors.reset", "An operator ended second factors of a person, with every Session and Grant."
    FACTORS_UNBLOCKED = "factors.unblocked", "An operator made the failed tries at a person's second factors forgotten."
    ENROLMENT_REFUSED = "enrolment.refused", "A second factor may not be added, changed or removed now; the reason says why."
    RECOVERY_CODES_RENEWED = "recovery_codes.renewed", "Recovery codes were made and shown once; earlier ones ended."
    RECOVERY_CODE_USED = "recovery_codes.used", "A recovery code was burned; the details count what is left."
    PASSKEY_SUSPECTED = "passkey.suspected", "A passkey signed with a counter that had gone backwards: it may have been copied: an alarm."
    PASS_ISSUED = "pass.issued", "A one-time pass was issued; the details say what for and until when."
    PASS_USED = "pass.used", "A one-time pass was used."
    ROLE_GIVEN = "role.given", "An Account was made an administrator."
    ROLE_TAKEN = "role.taken", "An Account ceased to be an administrator."
    CODE_ASKED = "code.asked", "A one-time code was made for a person, and waits to be sent by SMS or e-mail; the details say for what."
    CODE_REFUSED = "code.refused", "A one-time code was not made; the reason says why."
    MESSAGE_QUEUED = "message.queued", "A person is to be told of something by e-mail; the details say of what."
    MESSAGE_SENT = "message.sent", "A gateway took an SMS or an e-mail."
    MESSAGE_RETRIED = "message.retried", "A gateway did not take an SMS or an e-mail, which will be tried again."
    MESSAGE_ABANDONED = "message.abandoned", "An SMS or an e-mail was given up: refused for good, or not taken before it was too old."
    MESSAGE_TESTED = "message.tested", "An operator sent a test SMS or e-mail; the details say whether the gateway took it."
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
    CONFIGURATION_RELOADED = "configuration.reloaded", "A running server was asked to read its configuration again, and took it."
    DIRECTORY_UNLOCKED = "directory.unlocked", "An administrator had a directory lift its lock on a person."
    DIRECTORY_ACT_REFUSED = "directory_act.refused", "A directory did not do what the desk asked of it for a person; the reason says why."
    RESET_ASKED = "reset.asked", "A reset was asked for, by an agent or by the person; the details say of what."
    RESET_PROVEN = "reset.proven", "An agent recorded how a person who asked for a reset was recognised."
    RESET_APPROVED = "reset.approved", "A second person, or a sealed pass of the site, approved a reset."
    RESET_ISSUED = "reset.issued", "A reset was carried out: the old means of sign-in ended, and two halves were handed out."
    RESET_SPOKEN_AGAIN = "reset.spoken_again", "An agent was given the spoken half of a reset anew; the former one is worth nothing."
    RESET_WITNESSED = "reset.witnessed", "A second person on the spot was shown the other half of a reset."
    RESET_REDEEMED = "reset.redeemed", "Both halves of a reset were given; the person may now choose their own."
    RESET_DONE = "reset.done", "The person has a password, or a second factor, of their own again; the details say how long it took."
    RESET_CANCELLED = "reset.cancelled", "An agent cancelled a reset."
    RESET_STOPPED = "reset.stopped", "The person whom it concerns stopped a reset that they had not asked for: an alarm."
    RESET_BURNT = "reset.burnt", "A half of a reset was guessed at too often, so that it is worth nothing any more: an alarm."
    RESET_EXPIRED = "reset.expired", "A reset ended because nobody went on with it in time."
    RESET_ESCALATED = "reset.escalated", "A reset waited too long for an agent or an approver, who were told."
    RESET_MISUSED = "reset.misused", "A reset was redeemed in the browser, or the Session, of somebody who had carried it out: an alarm."
    RESET_REFUSED = "reset.refused", "A move of a reset was refused; the details name the move, the reason says why."
    DESK_ACTED = "desk.acted", "An act was done to a person at the console; the details name it, and why in the words of whoever did it."
    DESK_REFUSED = "desk.refused", "An act at the desk or the console was refused; the details name the act, the reason says why."
    CONSOLE_OPENED = "console.opened", "An administrator entered the console."
    ALERT_SENT = "alert.sent", "A contact or the DPO is mailed of something to look at; the details name its kind and count."
    AUDIT_EXPORTED = "audit.exported", "An operator exported part of the audit trail."
    AUDIT_VERIFIED = "audit.verified", "The whole audit trail was verified, and nothing was wrong; the details count."
    AUDIT_BROKEN = "audit.broken", "The audit trail is not as it was written, or was put back; the reason says how it was found: an alarm."
    AUDIT_PURGED = "audit.purged", "Lines past their time were purged from the trail; the details name the retention class and count."
    SCIM_CHANGED = "scim.changed", "A source wrote a person or a group to us by SCIM; the details name the resource and what was done."
    SCIM_REFUSED = "scim.refused", "A SCIM request was refused and nothing was written; the reason says why."
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
    DIRECTORY_NOT_NOW = "directory_not_now", "The directory does not let the person in at this hour, or from this place."
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
    NOTHING_GRANTS = "nothing_grants", "The person is unknown here, and no mapping rule places them anywhere: no Account is made."
    UNLINKED = "unlinked", "The person was unlinked here: only a proven act, or an administrator, links them again."
    LINKED_TO_ANOTHER = "linked_to_another", "That person of the provider is linked to another Account already."
    LINKED_ALREADY = "linked_already", "The Account is linked to another person of the same provider already."
    JOIN_NOT_CONFIRMED = "join_not_confirmed", "The provider names a person of the joined directory whom that directory does not have."
    LAST_WAY_IN = "last_way_in", "Without it the person could not sign in any more."
    MERGED = "merged", "The Account was merged with another, or the merge was undone: whoever is signed in does so again."
    DENIED_BY_RULE = "denied_by_rule", "A rule denies it; the decision kept with the line names the rule."
    NO_FACTOR_ENROLLED = "no_factor_enrolled", "A second factor is wanted, the person has none that would do, and none can be added here."
    LEVEL_NOT_REACHABLE = "level_not_reachable", "The establishment's regulatory level asks for a proof that nobody can give here."
    PASSWORD_MUST_CHANGE = "password_must_change", "The password was set by somebody else and must be changed first."
    PASSWORD_TOO_OLD = "password_too_old", "The password is older than passwords.max_age and must be changed first."
    PASSWORD_TOO_WEAK = "password_too_weak", "The new password does not meet the rules; the details say which."
    PASSWORD_REUSED = "password_reused", "The new password is one of the last three."
    INTERACTION_EXPIRED = "interaction_expired", "The sign-in page was left open too long, or was already used."
    INTERACTION_OF_ANOTHER_BROWSER = "interaction_of_another_browser", "The sign-in page was opened in a browser that did not begin it."
    LOOP = "loop", "The application sent the browser back too often: cookies are probably blocked."
    BAD_FORM_TOKEN = "bad_form_token", "The form's token is missing or stale."
    CANCELLED_BY_PERSON = "cancelled_by_person", "The person pressed Cancel."
    DEMO_ACCOUNT = "demo_account", "A demonstration account was used on an issuer that is not loopback."
    # Upstream providers: one for each connectors.base.TokenProblem, and what else may happen on the way
    UPSTREAM_TOKEN_MISSING = "upstream_token_missing", "The provider gave no ID token."
    UPSTREAM_TOKEN_MALFORMED = "upstream_token_malformed", "The provider's ID token cannot be read, or lacks what it must say."
    UPSTREAM_ALGORITHM = "upstream_algorithm", "The ID token is signed by an algorithm that is not agreed, or not at all."
    UPSTREAM_SIGNATURE = "upstream_signature", "The ID token's signature does not verify."
    UPSTREAM_KEY_UNKNOWN = "upstream_key_unknown", "The ID token is signed by a key that the provider does not publish."
    UPSTREAM_ISSUER = "upstream_issuer", "The ID token is of another issuer."
    UPSTREAM_AUDIENCE = "upstream_audience", "The ID token was made for another application."
    UPSTREAM_EXPIRED = "upstream_expired", "The ID token has expired."
    UPSTREAM_NOT_YET_VALID = "upstream_not_yet_valid", "The ID token is of the future: a clock is wrong."
    UPSTREAM_NONCE = "upstream_nonce", "The ID token answers another sign-in."
    UPSTREAM_TENANT = "upstream_tenant", "The person is of a tenant that is not let in."
    UPSTREAM_SUBJECT = "upstream_subject", "The provider named nobody, or somebody else than the person of this sign-in."
    UPSTREAM_STATE = "upstream_state", "The answer belongs to no sign-in of this browser, to another provider's, or has served already."
    UPSTREAM_CALLBACK_ISSUER = "upstream_callback_issuer", "The answer says that it is of another provider (RFC 9207)."
    UPSTREAM_CODE_REFUSED = "upstream_code_refused", "The provider did not take its own code."
    UPSTREAM_ASSURANCE = "upstream_assurance", "The provider did not prove as much as it was asked to."
    UPSTREAM_TOO_OLD = "upstream_too_old", "The person was recognised there longer ago than was asked for."
    UPSTREAM_MALFORMED = "upstream_malformed", "The answer cannot be read: a parameter is missing, repeated or too long."
    UPSTREAM_MISBEHAVED = "upstream_misbehaved", "The provider answered something that must not be believed; the log says what."
    UPSTREAM_UNREACHABLE = "upstream_unreachable", "The provider did not answer, or not over a trusted connection; the details say which."
    UPSTREAM_ERROR = "upstream_error", "The provider sent the person back with an error; the details name it."
    UPSTREAM_CANCELLED = "upstream_cancelled", "The person gave up at the provider, or it did not let them."
    UPSTREAM_UNKNOWN = "upstream_unknown", "The configuration has no such provider, or the establishment does not offer it."
    UPSTREAM_LAPSED = "upstream_lapsed", "The provider wants to see the person again before it says anything of them."
    # The Windows session
    WINDOWS_TOO_LARGE = "windows_too_large", "The Kerberos token is larger than Windows itself makes any."
    WINDOWS_NTLM = "windows_ntlm", "The browser offered NTLM, which is never accepted."
    WINDOWS_MALFORMED = "windows_malformed", "What the browser offered is no Kerberos token."
    WINDOWS_EXPIRED = "windows_expired", "The Kerberos ticket is over."
    WINDOWS_REPLAYED = "windows_replayed", "The same Kerberos token was shown before."
    WINDOWS_CLOCK = "windows_clock", "The clocks of the computer, the domain and this server are too far apart."
    WINDOWS_OTHER_SERVICE = "windows_other_service", "The Kerberos ticket is for a service, or a key of ours, that is in no keytab."
    WINDOWS_OTHER_REALM = "windows_other_realm", "The Kerberos ticket is of somebody of another realm."
    WINDOWS_NOT_A_PERSON = "windows_not_a_person", "The Kerberos ticket is a service's, or of somebody in another role of theirs."
    WINDOWS_DELEGATED = "windows_delegated", "A service got the Kerberos ticket in somebody's name: they need not have been there."
    WINDOWS_REFUSED = "windows_refused", "The Kerberos ticket does not hold; the log says why."
    WINDOWS_UNAVAILABLE = (
        "windows_unavailable",
        "Kerberos tickets cannot be verified now: no keytab, or no answer in time; the log says which.",
    )
    WINDOWS_GENERIC_ACCOUNT = "windows_generic_account", "The Windows session is one that several people share."
    WINDOWS_NOBODY = "windows_nobody", "The directory has nobody who holds the Kerberos ticket (any more)."
    WINDOWS_TOO_OLD = "windows_too_old", "The Windows session was opened longer ago than the application, or a password change, allows."
    WINDOWS_ANOTHER_PERSON = "windows_another_person", "The Windows session is not of the person that the application asks for."
    # Second factors
    WRONG_CODE = "wrong_code", "The code is not right."
    CODE_ALREADY_USED = "code_already_used", "The code was right and has served before."
    CODE_NOT_OPEN = "code_not_open", "There is no code to type: it is too old, was tried too often, or a newer one replaced it."
    CODE_TOO_SOON = "code_too_soon", "A code was sent a moment ago: another may be asked in a while."
    CODES_OF_THE_DAY = "codes_of_the_day", "The person has been sent as many codes as in a day there may be."
    MESSAGES_COST_CAP = "messages_cost_cap", "The SMS of this month have cost as much as they may."
    MESSAGES_NOT_SET = "messages_not_set", "No SMS gateway, or no mail server, is configured."
    NUMBER_NOT_SERVED = "number_not_served", "The phone number, or the address, is none that codes are sent to."
    TOTP_CLOCK_DRIFT = "totp_clock_drift", "The code is right for another time: the clock of the person's phone is wrong."
    NO_SUCH_FACTOR = "no_such_factor", "The person has no such second factor."
    FACTOR_BLOCKED = "factor_blocked", "Too many failures in a row: only an operator opens this kind of factor again."
    PASS_NOT_VALID = "pass_not_valid", "The one-time pass is unknown, used, past its end, or somebody else's."
    OFFER_EXPIRED = "offer_expired", "The page that offered a new factor was open too long, or was already used."
    ENROLMENT_NEEDS_PASS = "enrolment_needs_pass", "A first factor needs a one-time pass here."
    ENROLMENT_NEEDS_TRUSTED_ZONE = (
        "enrolment_needs_trusted_zone",
        "A first factor is only added on the establishment's network, or with a pass.",
    )
    ENROLMENT_SHARED_ZONE = "enrolment_shared_zone", "A first factor is not added on a shared workstation, except with a pass."
    ENROLMENT_SIGN_IN_TOO_OLD = "enrolment_sign_in_too_old", "The sign-in is too old to add or change a factor."
    ENROLMENT_NEEDS_FACTOR = "enrolment_needs_factor", "A change of factors needs a factor that was just proven."
    TOO_MANY_FACTORS = "too_many_factors", "The person has as many second factors as one may have."
    LAST_FACTOR_NEEDED = "last_factor_needed", "A rule wants a second factor of this person: the last one is not removed by them."
    PASSKEY_NOT_OFFERED = "passkey_not_offered", "Passkeys, or signing in with one alone, are not offered here."
    PASSKEY_MALFORMED = "passkey_malformed", "What the browser sent for a passkey cannot be read, or is not what was asked."
    PASSKEY_CHALLENGE_EXPIRED = "passkey_challenge_expired", "The challenge was never given, is too old, or was used before."
    PASSKEY_CHALLENGE_MISPLACED = "passkey_challenge_misplaced", "The challenge was given to another browser, page, person or purpose."
    PASSKEY_WRONG_ORIGIN = "passkey_wrong_origin", "The browser or the key answered for another site than ours."
    PASSKEY_UNKNOWN = "passkey_unknown", "We have no such passkey, or it was removed."
    PASSKEY_OF_ANOTHER_ACCOUNT = "passkey_of_another_account", "The passkey is not of the person who is signing in."
    PASSKEY_WRONG_SIGNATURE = "passkey_wrong_signature", "The passkey's signature does not verify."
    PASSKEY_NOT_VERIFIED = "passkey_not_verified", "The key was not touched, or did not verify its person where that is wanted."
    PASSKEY_CLONED = "passkey_cloned", "The passkey's counter went backwards: it may have been copied."
    PASSKEY_ALREADY_ENROLLED = "passkey_already_enrolled", "The passkey is enrolled already, here or with somebody else."
    # The desk and the console: one for each refusal of policies/acts.py, and what else may happen there
    ACT_NOT_HELD = "act_not_held", "They hold no role that does this."
    ACT_ON_ONESELF = "act_on_oneself", "Nobody does this to their own account."
    ACT_UPWARDS = "act_upwards", "The person may do more than whoever would act on them."
    ACT_OUTSIDE_ESTABLISHMENT = "act_outside_establishment", "The person, or the place, is not of the establishments where they do this."
    ACT_ON_BREAK_GLASS = "act_on_break_glass", "The break-glass account is only sealed again, by whoever holds the machine."
    ACT_ON_PROTECTED = (
        "act_on_protected",
        "Nobody acts on them from here: a directory counts them as privileged, or did not delegate them to us.",
    )
    DIRECTORY_NOT_DELEGATED = "directory_not_delegated", "Our service account was not given the right to do it in the directory."
    ROLE_GIVES_MORE = "role_gives_more", "Nobody gives a role that opens more than they hold themselves."
    LAST_ADMINISTRATOR = "last_administrator", "The group would have no administrator any more."
    RESET_UNKNOWN = "reset_unknown", "There is no such reset, or not of the establishments where they do this."
    RESET_NOT_NOW = "reset_not_now", "The reset is not where that move may be made: somebody was faster, or it has ended."
    RESET_OPEN_ALREADY = "reset_open_already", "Another reset of the same person is open."
    RESET_OTHER_PLACE = "reset_other_place", "The person does not work at the establishment that the reset is asked for."
    RESET_NOTHING_TO_RESET = "reset_nothing_to_reset", "The person has nothing of that kind: no password here, or no second factor."
    RESET_ELSEWHERE = "reset_elsewhere", "The person's password is a provider's, and is reset there."
    RESET_MODE = "reset_mode", "Nobody asks for a reset on the page there."
    RESET_TOO_MANY = "reset_too_many", "The person has asked as often as in a day they may."
    RESET_NEEDS_PROOF = "reset_needs_proof", "Nobody has recorded how the person was recognised."
    RESET_NEEDS_SECOND = "reset_needs_second", "A second person must approve it first."
    RESET_SECOND_IS_ASKER = (
        "reset_second_is_asker",
        "Nobody has both kinds of half: whoever asked, recorded the proof, approved, handed out or witnessed does not do the other part too.",
    )
    RESET_SECOND_UNKNOWN = "reset_second_unknown", "An operator's command is nobody's approval: a person signed in approves."
    RESET_SECOND_NOT_PASSKEY = "reset_second_not_passkey", "The approver has not just confirmed with a passkey who they are."
    RESET_PASS_NOT_NOW = "reset_pass_not_now", "A sealed pass of the site stands for an approver at night only."
    RESET_PASS_NOT_ENOUGH = "reset_pass_not_enough", "For an administrator's account a sealed pass is not enough: a person approves."
    RESET_CHANNEL_MISSING = "reset_channel_missing", "The person has no such address or number, or nothing can be sent that way."
    RESET_CHANNEL_TOO_NEW = "reset_channel_too_new", "The address or the number was changed too lately to be relied on."
    RESET_WITNESS_ELSEWHERE = "reset_witness_elsewhere", "A witness works at the establishment, and may do or approve resets there."
    RESET_NOTE_NEEDED = "reset_note_needed", "What is asked for must be written down: why, or who vouched."
    RESET_DIRECTORY_REFUSED = (
        "reset_directory_refused",
        "The directory did not take the reset; the details say why. Nothing was carried out.",
    )
    RESET_WRONG_HALF = "reset_wrong_half", "The half that was sent is not the one that was typed."
    RESET_TOO_LATE = "reset_too_late", "A half is past its time, or was guessed at too often."
    RESET_NEEDS_FACTOR = "reset_needs_factor", "The second factor that the person still has was not given."
    RESET_BY_OWN_AGENT = "reset_by_own_agent", "It was redeemed in the browser or Session of somebody who had touched it."
    RESET_STOPPED_BY_PERSON = "reset_stopped_by_person", "The person said that they had not asked for it."
    ACT_DONE_ALREADY = "act_done_already", "It is so already: nothing was done."
    ACT_OF_SOURCE = "act_of_source", "A directory or provider decides it: it is changed there."
    ACT_NEEDS_RESET = "act_needs_reset", "Only a request with its proof, and its second person where one is needed, does it."
    ACT_WITHOUT_WHY = "act_without_why", "It was not said why, or how it was made sure who asks."
    ACT_TARGET_UNKNOWN = "act_target_unknown", "The person, the place or the thing that the act names is not there."
    # Zones and workstations
    WRONG_ZONE = "wrong_zone", "The pass was typed on a machine that is not in the zone it was made for."
    SECRET_COPIED = "secret_copied", "A secret that had been replaced came back: somebody holds a copy."
    ZONE_ENDED = "zone_ended", "The zone that it belonged to has ended."
    CLIENTS_HIDDEN = "clients_hidden", "The addresses of nearly all sign-ins are those of a proxy of ours."
    ONE_ADDRESS = "one_address", "Nearly all sign-ins come from one address, which is no declared egress."
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
    PERSON_CHANGED = "person_changed", "The next person takes over the browser: whoever was signed in there is signed out of everything."
    ENDED_BY_PERSON = "ended_by_person", "The person ended the session from their account page."
    DISOWNED = "disowned", 'The person said "this was not me" of a sign-in, so everything of theirs ended.'
    ENDED_BY_OPERATOR = "ended_by_operator", "An operator ended it."
    ACCOUNT_CUT = "account_cut", "The account was suspended or ended."
    CREDENTIAL_CHANGED = "credential_changed", "The password changed, so the other sessions ended."
    DIRECTORY_PASSWORD_SET = "directory_password_set", "The password was set in the directory, so what the former one had opened ended."
    DEVICE_SECRET_REPLAYED = "device_secret_replayed", "A secret of a known browser came back after it was replaced: somebody has a copy."
    FACTORS_TAKEN_AWAY = "factors_taken_away", "An operator reset the second factors, so every session ended."
    CLIENT_WITHDRAWN = "client_withdrawn", "The client was withdrawn."
    TOKEN_GIVEN_BACK = "token_given_back", "The client revoked the token."
    ATTACHMENT_LOST = "attachment_lost", "The attachment the session stood on is no longer valid."
    # Logout and delivery
    INVALID_LOGOUT_HINT = "invalid_logout_hint", "The id_token_hint is not ours or not this client's."
    POST_LOGOUT_URI_MISMATCH = "post_logout_uri_mismatch", "The post-logout redirect URI is not registered."
    DELIVERY_FAILED = "delivery_failed", "The application did not answer 200 or 204."
    MESSAGE_REFUSED = "message_refused", "The gateway or the mail server will never take this message."
    MESSAGE_NOT_TAKEN = "message_not_taken", "The gateway or the mail server did not answer, or said that it cannot now."
    MESSAGE_TOO_OLD = "message_too_old", "What the message says is of no use any more."
    # The trail itself
    AUDIT_TOUCHED = "audit_touched", "A verification found lines, seals or records of purges that were changed, added or taken away."
    AUDIT_SEAL_CHANGED = "audit_seal_changed", "The newest seal of the trail is not one of ours."
    AUDIT_ROLLED_BACK = "audit_rolled_back", "Seals that were made are not there any more: the database was put back."
    # Shared Signals
    STREAM_UNKNOWN = "stream_unknown", "The application has no such stream."
    STREAM_LIMIT = "stream_limit", "The application has as many streams as one may have."
    ADDRESS_NOT_ALLOWED = "address_not_allowed", "The address is private, and not in egress.networks."
    SUBJECT_UNKNOWN = "subject_unknown", "Nobody who signed in to the application is called so."
    VERIFIED_TOO_OFTEN = "verified_too_often", "A verification of the stream was asked for a moment ago."
    SIGNAL_NOT_COLLECTED = (
        "signal_not_collected",
        "The application did not poll, or enable its stream again, for longer than events are kept.",
    )
    # SCIM
    SCIM_UNKNOWN = "scim_unknown", "The source has no such person or group here."
    SCIM_CONFLICT = "scim_conflict", "Another person, or group, of the source has the name or the id."
    SCIM_CHANGED_MEANWHILE = "scim_changed_meanwhile", "The resource is not the version that the request was made for (If-Match)."
    SCIM_NOT_OFFERED = "scim_not_offered", "The part of SCIM that was asked for is not offered here."
    # Requests and the system
    NOTICE_NOT_OURS = (
        "notice_not_ours",
        "A notice of Microsoft Graph does not repeat the secret of a subscription of ours: nothing was asked.",
    )
    TOO_LARGE = "too_large", "The request is larger than allowed."
    STORE_UNAVAILABLE = "store_unavailable", "A store did not answer; nothing was done."
    INTERNAL_ERROR = "internal_error", "The program broke; the log holds the detail."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, as concluded once at the edge; stored with every Event it causes.

    `request_id` is ten Crockford characters, and is the support code shown to people. `network_chain` lists the addresses walked, the peer
    first. `zone` is "<establishment's slug>/<zone's name>" or "outside", `zone_kind` a policies.zones.ZoneKind or "outside", and `zone_why` the code
    of how that was concluded. The zone is the address's until an establishment is active; whether it is trusted *there* is concluded again then.
    `is_doubtful`: the address is the last machine known for sure and not the person's. `claimed`: what headers that disagree said it was
    (policies/network.py); not kept.
    """

    request_id: str
    address: str
    network_chain: tuple[str, ...] = ()
    zone: str = "outside"
    user_agent: str = ""
    zone_kind: str = "outside"
    zone_why: str = "not_concluded"
    is_doubtful: bool = False
    claimed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something to the store and from where, for the Events it causes. `actor` is written as in an Event. `word`: what they act on."""

    actor: str
    origin: Origin
    word: "Word | None" = None

    def hearing(self, word: "Word") -> "Author":
        """The same, acting on this word unless they are acting on one already."""
        return self if self.word is not None else replace(self, word=word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a directory said that somebody acts on: who said it of whom, when it was written there (where it says so) and when we heard it."""

    connector: str
    subject: str
    written_at: datetime | None = None
    heard_at: datetime | None = None


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
