"""Microsoft Graph with the person's own token: who they are now, and what they are members of, page by page.

Source: "user resource type" and "List a user's transitive memberOf". A page's @odata.nextLink is followed only to Graph itself: the token goes
nowhere else. Raises SourceUnreachable, SourceMisbehaved, PersonNotUsable (gone) or Lapsed (the token is refused).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.base import Lapsed, PersonNotUsable, SourceMisbehaved, SourceUnreachable, State
from connectors.entra.settings import EntraSettings
from connectors.entra.wire import Answer, Wire, origin_of

PROPERTIES = (
    *("id", "displayName", "givenName", "surname", "mail", "userPrincipalName", "mobilePhone", "employeeId", "accountEnabled", "userType"),
    *("onPremisesImmutableId", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled"),
)
PAGE = 999
MOST_PAGES = 20
GROUP = "#microsoft.graph.group"
NO_SUCH_PERSON = "Request_ResourceNotFound"


@dataclass(frozen=True, slots=True)
class Profile:
    """A person in Graph."""

    oid: str
    values: Mapping[str, Any] = field(repr=False)

    @property
    def is_disabled(self) -> bool:
        """Whether Graph says so; it does not always say."""
        return self.values.get("accountEnabled") is False

    @property
    def is_guest(self) -> bool:
        """Whether they are a guest of this tenant."""
        return str(self.values.get("userType") or "").lower() == "guest"

    def text(self, name: str) -> str | None:
        """A property as text, trimmed; None when it is empty, or no text."""
        value = self.values.get(name)
        if isinstance(value, bool):
            return str(value).lower()
        return value.strip() or None if isinstance(value, str) else None


class Graph:
    """Asks for one person with their token. Safe to share between threads; whoever calls is inside a passage of the wire."""

    def __init__(self, settings: EntraSettings, wire: Wire) -> None:
        self._settings = settings
        self._wire = wire

    def me(self, access_token: str, *, subject: str) -> Profile:
        """The person whose token it is."""
        chosen = ",".join(dict.fromkeys((*PROPERTIES, *self._settings.attributes)))
        answer = self._get(f"{self._settings.graph}/me?$select={chosen}", access_token, subject=subject)
        oid = answer.body.get("id")
        if not isinstance(oid, str):
            raise SourceMisbehaved("Graph: a person without an id", problem="subject")
        return Profile(oid.lower(), answer.body)

    def groups(self, access_token: str, *, subject: str) -> frozenset[str]:
        """What mapping rules may call the person's groups, nested ones too: ids, and names as the settings allow; lower case."""
        found: set[str] = set()
        for group in self._groups(access_token, subject=subject):
            found.update(names_of(group, self._settings))
        return frozenset(found)

    def _groups(self, access_token: str, *, subject: str) -> Iterator[Mapping[str, Any]]:
        url: str | None = f"{self._settings.graph}/me/transitiveMemberOf?$top={PAGE}"
        for _ in range(MOST_PAGES):
            if url is None:
                return
            if origin_of(url) != origin_of(self._settings.graph):
                raise SourceMisbehaved("Graph: the next page is on another host")
            answer = self._get(url, access_token, subject=subject)
            values = answer.body.get("value")
            if not isinstance(values, list):
                raise SourceMisbehaved("Graph: a page of groups without any list")
            yield from (one for one in values if isinstance(one, dict) and one.get("@odata.type", GROUP) == GROUP)
            following = answer.body.get("@odata.nextLink")
            url = following if isinstance(following, str) else None
        if url is not None:
            # Half of somebody's groups is not their groups: rights would come and go with the order of pages.
            raise SourceMisbehaved(f"Graph: more than {MOST_PAGES * PAGE} groups of one person")

    def _get(self, url: str, access_token: str, *, subject: str) -> Answer:
        answer = self._wire.get(url, headers={"Authorization": f"Bearer {access_token}"})
        if answer.status < 300:
            return answer
        what = url.removeprefix(self._settings.graph).partition("?")[0]
        words = f"Graph answered {answer.status} to {what}"
        if answer.status == 401:
            raise Lapsed(f"{words}: the person must sign in again")
        if answer.status == 404 and error_code_of(answer) == NO_SUCH_PERSON:
            # Any other 404 is a wrong `graph`, or something between: it is said to everybody, and must not put everybody out.
            raise PersonNotUsable(f"{words}: there is no such person", state=State.OUT_OF_SCOPE, subject=subject, is_proven=False)
        if answer.status == 403:
            say = "a permission is missing: User.Read and GroupMember.Read.All, delegated, with an administrator's consent"
            raise SourceUnreachable(f"{words}: {say}", trouble="service_account")
        raise SourceMisbehaved(words)


def names_of(group: Mapping[str, Any], settings: EntraSettings) -> frozenset[str]:
    """What mapping rules may call a group: its id, and its names as the settings allow; lower case."""
    found = {group["id"]} if isinstance(group.get("id"), str) else set()
    if settings.group_names == "all" or group.get("onPremisesSyncEnabled") is True:
        names = (group.get("displayName"), group.get("onPremisesSamAccountName"))
        found.update(name.strip() for name in names if isinstance(name, str) and name.strip())
    return frozenset(name.lower() for name in found)


def error_code_of(answer: Answer) -> str | None:
    """Graph's own code of an error; None when the answer is not Graph's."""
    error = answer.body.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    return code if isinstance(code, str) else None
