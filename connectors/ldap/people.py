"""From entries to Identities: which attributes are read, which filters find a person, what an entry says of them.

Pure but for the settings it is made with; connectors.ldap.directory asks, connectors.ldap.groups says who is a member of what.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime

from connectors.base import Identity, State
from connectors.ldap.filters import escape, parse_filter
from connectors.ldap.settings import EntrySettings, LdapSettings
from connectors.ldap.state import STATE_ATTRIBUTES, ends_at, password_set_at
from connectors.ldap.wire import Entry

MAX_IDENTIFIER = 256
MAX_PASSWORD_BYTES = 1024
NOBODY = "cn=nobody-5f0d3c1e9b7a,ou=vestibule-decoy"  # no directory has it; what is bound to when nobody was found


class People:
    """The settings, as filters and readings."""

    def __init__(self, connector: str, settings: EntrySettings, *, lasting_id: str, state: Sequence[str]) -> None:
        """`lasting_id` and `state` are attributes: what stays the same, and what tells how an account is. ValueError when the scope is no filter."""
        self._connector = connector
        self.lasting_id = lasting_id
        self._settings = settings
        self._scope = str(parse_filter(settings.scope.strip()))
        named = settings.attributes
        self._asked = tuple(
            name
            for name in (
                named.username,
                named.email,
                named.number,
                named.given_name,
                named.family_name,
                named.phone_number,
                *named.others,
            )
            if name
        )
        self.attributes = tuple(dict.fromkeys((lasting_id, *settings.identifiers, *self._asked, *state)))
        self.decoy_dn = f"{NOBODY},{settings.base}"

    @property
    def scope(self) -> str:
        """Everybody who is let in."""
        return self._scope

    def named(self, identifier: str) -> str:
        """Whoever has it as one of the identifiers, in scope or not."""
        value = escape(identifier)
        return f"(|{''.join(f'({name}={value})' for name in self._settings.identifiers)})"

    def meant(self, identifier: str, entries: Sequence[Entry]) -> Entry | None:
        """Whom an identifier means among the entries that have it: the only one that has it in the earliest attribute; None when there are several.

        A colleague who may write their own mail address must not be able to take somebody's login away by writing it there.
        """
        if len(entries) == 1:
            return entries[0]
        wanted = as_compared(identifier)
        for name in self._settings.identifiers:
            holders = [entry for entry in entries if wanted in map(as_compared, entry.texts(name))]
            if holders:
                return holders[0] if len(holders) == 1 else None
        return None

    def lasting(self, subject: str) -> str:
        """The person with a lasting id, in scope or not."""
        return f"({self.lasting_id}={escape(subject)})"

    def within(self, search_filter: str) -> str:
        """The same, in scope only."""
        return f"(&{self._scope}{search_filter})"

    def subject(self, entry: Entry) -> str | None:
        """The entry's lasting id, None when the service account cannot read it."""
        found = entry.text(self.lasting_id)
        return found.lower() if found else None

    def is_tombstone(self, entry: Entry) -> bool:
        """Whether the entry is what a directory keeps of one that was deleted."""
        return False

    def username(self, entry: Entry) -> str | None:
        """The login."""
        return entry.text(self._settings.attributes.username)

    def logins(self, entry: Entry) -> tuple[str, ...]:
        """The names that a Kerberos ticket of theirs may hold."""
        return ()

    def ends_at(self, entry: Entry) -> datetime | None:
        """When the account ends by itself, then or later; None: never."""
        return None

    def password_set_at(self, entry: Entry) -> datetime | None:
        """When the password was set; None when that is not said."""
        return None

    def identity(
        self, entry: Entry, subject: str, *, state: State, groups: Iterable[str], seen_at: datetime, amr: tuple[str, ...] = ()
    ) -> Identity:
        """What the entry says of a person."""
        named = self._settings.attributes
        return Identity(
            connector=self._connector,
            subject=subject,
            seen_at=seen_at,
            state=state,
            amr=amr,
            username=self.username(entry),
            given_name=entry.text(named.given_name) or "",
            family_name=entry.text(named.family_name) or "",
            email=entry.text(named.email),
            number=entry.text(named.number),
            phone_number=entry.text(named.phone_number),
            groups=frozenset(groups),
            attributes={name.lower(): texts for name in self._asked if (texts := entry.texts(name))},
            logins=self.logins(entry),
            ends_at=self.ends_at(entry),
            password_set_at=self.password_set_at(entry),
        )


class LdapPeople(People):
    """The same of OpenLDAP and 389 Directory Server, and which Kerberos principal an entry is."""

    def __init__(self, connector: str, settings: LdapSettings) -> None:
        """Raises ValueError when the scope is not a filter."""
        self._principal_in = settings.kerberos.attribute if settings.kerberos else None
        principals = (self._principal_in, "createTimestamp") if self._principal_in else ()
        super().__init__(connector, settings, lasting_id=settings.lasting_id, state=(*principals, *STATE_ATTRIBUTES))

    def with_principal(self, written: str) -> str:
        """Whoever has what stands for a Kerberos principal, in scope or not; capitals may count for nothing to the directory."""
        return f"({self._principal_in}={escape(written)})"

    def has_principal(self, entry: Entry, written: str) -> bool:
        """Whether the entry has it letter for letter: a realm tells Alice from alice (RFC 4120 section 6.2)."""
        return written in entry.texts(self._principal_in)

    def logins(self, entry: Entry) -> tuple[str, ...]:
        """Of every principal that the entry is: a realm may have aliases."""
        return tuple(written.partition("@")[0] for written in entry.texts(self._principal_in))

    def ends_at(self, entry: Entry) -> datetime | None:
        """By shadowExpire or pwdEndTime."""
        return ends_at(entry)

    def password_set_at(self, entry: Entry) -> datetime | None:
        """By pwdChangedTime."""
        return password_set_at(entry)

    def is_tombstone(self, entry: Entry) -> bool:
        """389 Directory Server keeps deleted entries for its replicas, and finds them by nsUniqueId."""
        return self.lasting_id == "nsUniqueId" and entry.dn.lower().startswith("nsuniqueid=")


def as_compared(value: str) -> str:
    """A value as directories compare names and addresses (caseIgnoreMatch, RFC 4518): capitals, width and spaces at the ends do not count."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def is_askable(identifier: str) -> bool:
    """Whether an identifier may be looked for at all: a directory has none that is empty, endless or holds control characters."""
    is_sensible = bool(identifier.strip()) and len(identifier) <= MAX_IDENTIFIER
    return is_sensible and identifier.isprintable() and _is_unicode(identifier)


def password_bytes(password: str) -> bytes | None:
    """The password as it is sent: UTF-8, as typed. None when it must not be sent: an empty one would be an anonymous bind, which servers
    answer with success (RFC 4513 section 5.1.2), and some hashes stop at a NUL. ldap3's own preparation (SASLprep) would change what was typed."""
    if not password or "\x00" in password or not _is_unicode(password):
        return None
    sent = password.encode()
    return sent if len(sent) <= MAX_PASSWORD_BYTES else None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
