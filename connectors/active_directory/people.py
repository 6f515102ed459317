"""Whom an identifier means in a domain: login, user principal name, DOMAIN\\login, address, staff number; and by which ids an entry is found again.

Pure but for the settings. Sources: [MS-ADTS] 5.1.1.1.1 (the forms of a name that a controller takes), 3.1.1.1.4 (objectGUID).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.active_directory.state import STATE_ATTRIBUTES
from connectors.active_directory.values import instant, integer, lasting_id, raw_lasting_id, security_id
from connectors.base import NO_INSTANT, Identity, State
from connectors.ldap.filters import escape, escape_bytes
from connectors.ldap.people import NOBODY, People, as_compared
from connectors.ldap.wire import Entry

LOGIN, PRINCIPAL = "sAMAccountName", "userPrincipalName"
SECURITY_ID = "objectsid"
GUID_BYTES = 16
OWN_ATTRIBUTES = (LOGIN, PRINCIPAL, "objectSid", "primaryGroupID")


class ActiveDirectoryPeople(People):
    """The settings of a domain, as filters and readings."""

    def __init__(self, connector: str, settings: ActiveDirectorySettings) -> None:
        """Raises ValueError when the scope is not a filter."""
        super().__init__(connector, settings, lasting_id="objectGUID", state=(*OWN_ATTRIBUTES, *STATE_ATTRIBUTES))
        self._domain = settings.domain.casefold()
        self._names = {self._domain, settings.netbios_name.casefold()}

    def named(self, identifier: str) -> str:
        """Whoever has it as one of the identifiers, in scope or not; a name with another domain's before it is nobody's."""
        domain, backslash, login = identifier.partition("\\")
        if backslash:
            return f"({LOGIN}={escape(login if domain.casefold() in self._names and login else NOBODY)})"
        written = super().named(identifier)
        implied = self._login_in_domain(identifier)
        return f"(|{written}({LOGIN}={escape(implied)}))" if implied else written

    def meant(self, identifier: str, entries: Sequence[Entry]) -> Entry | None:
        """As People.meant; login@domain, which a controller takes of anybody, comes after every attribute."""
        found = super().meant(identifier, entries)
        login = self._login_in_domain(identifier)
        if found is not None or not login:
            return found
        wanted = as_compared(identifier)
        if any(wanted in map(as_compared, entry.texts(name)) for entry in entries for name in self._settings.identifiers):
            return None  # several have it as an attribute
        return self.by_login(login, entries)

    def identity(
        self, entry: Entry, subject: str, *, state: State, groups: Iterable[str], seen_at: datetime, amr: tuple[str, ...] = ()
    ) -> Identity:
        """As People.identity, with the security id: what a provider synchronises of the domain can be compared with it."""
        found = super().identity(entry, subject, state=state, groups=groups, seen_at=seen_at, amr=amr)
        raw = entry.values.get("objectsid", ())
        known = {SECURITY_ID: (security_id(raw[0]),)} if len(raw) == 1 else {}
        others = {name: texts for name, texts in (found.attributes or {}).items() if name != SECURITY_ID}
        return replace(found, attributes=others | known)

    def ends_at(self, entry: Entry) -> datetime | None:
        """By accountExpires."""
        return instant(integer(entry, "accountExpires"))

    def password_set_at(self, entry: Entry) -> datetime | None:
        """By pwdLastSet; 0 is what a reset with "must change at next logon" leaves."""
        written = integer(entry, "pwdLastSet")
        return NO_INSTANT if written == 0 else instant(written)

    def by_login(self, login: str, entries: Sequence[Entry]) -> Entry | None:
        """The one entry with a login; None when there is none, or several."""
        wanted = as_compared(login)
        holders = [entry for entry in entries if wanted in map(as_compared, entry.texts(LOGIN))]
        return holders[0] if len(holders) == 1 else None

    def lasting(self, subject: str) -> str:
        """The person with a lasting id, in scope or not."""
        try:
            raw = raw_lasting_id(subject)
        except ValueError:
            raw = bytes(GUID_BYTES)  # nobody's
        return f"({self.lasting_id}={escape_bytes(raw)})"

    def subject(self, entry: Entry) -> str | None:
        """The entry's objectGUID, None when the service account cannot read it, or when it is none."""
        raw = entry.values.get(self.lasting_id.lower(), ())
        return lasting_id(raw[0]) if len(raw) == 1 and len(raw[0]) == GUID_BYTES else None

    def logins(self, entry: Entry) -> tuple[str, ...]:
        """A Windows session may be opened by either name; a ticket holds the one that was typed."""
        return (*entry.texts(LOGIN), *(name.rpartition("@")[0] or name for name in entry.texts(PRINCIPAL)))

    def _login_in_domain(self, identifier: str) -> str | None:
        login, _, suffix = identifier.rpartition("@")
        return login if login and suffix.casefold() == self._domain else None
