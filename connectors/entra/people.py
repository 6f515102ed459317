"""People of Entra ID asked for by their lasting id while they are not there, as our application may see them.

Owns the Identity that is made of that; it is the one that a sign-in makes of `groups: graph`, so that neither undoes the other. Lists nobody: who is
known here is asked for one by one. Opens what listens (delta.py).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from connectors.base import CheckStep, Clock, Identity, State, Watcher
from connectors.entra.application import ApplicationGraph
from connectors.entra.delta import DeltaWatcher, GroupNames
from connectors.entra.graph import GROUP, NO_SUCH_PERSON, PAGE, PROPERTIES, Profile, error_code_of, names_of
from connectors.entra.settings import GUID, EntraSettings
from connectors.entra.subscription import Notifications, Subscriptions

SYNCHRONISED = ("onPremisesImmutableId", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled", "userPrincipalName", "userType")


class EntraPeople:
    """The people of one registration's tenants (WatchedProvider). Safe to share between threads; nothing is asked before it is needed."""

    def __init__(self, name: str, settings: EntraSettings, clock: Clock, *, notifications: Notifications | None = None) -> None:
        """`notifications`: where Microsoft may tell us that something changed; None: it is asked every so often, and no more."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._graph = ApplicationGraph(settings, clock)
        self._notifications = notifications
        self._names = GroupNames(settings)
        self._role_names: dict[str, tuple[str, Mapping[str, str]]] = {}  # by tenant: our application's object there, and its roles' words

    def find(self, subject: str) -> Identity | None:
        """The person as Graph has them now (any State), or None when it has none of that id. Raises SourceUnreachable or SourceMisbehaved."""
        asked_at = self._clock.now()
        tenant, _, oid = subject.partition("/")
        if tenant not in self._settings.tenants or not re.match(GUID, oid):
            # A tenant that the settings name no more: nobody of it comes in.
            return Identity(connector=self.name, subject=subject, seen_at=asked_at, state=State.OUT_OF_SCOPE)
        chosen = ",".join(dict.fromkeys((*PROPERTIES, *self._settings.attributes)))
        url = f"{self._graph.address}/users/{oid}?$select={chosen}"
        answer = self._graph.get(tenant, url)
        if answer.status == 404 and error_code_of(answer) == NO_SUCH_PERSON:
            return None
        if answer.status >= 300 or str(answer.body.get("id", "")).lower() != oid:
            raise self._graph.refusal(url, answer)
        return self._identity(Profile(oid, answer.body), tenant, subject=subject, asked_at=asked_at)

    def watcher(self) -> Watcher | None:
        """See WatchedDirectory."""
        if self._settings.watch is None:
            return None
        subscriptions = (
            None if self._notifications is None else Subscriptions(self._settings, self._graph, self._notifications, clock=self._clock)
        )
        return DeltaWatcher(self.name, self._settings, self._graph, clock=self._clock, names=self._names, subscriptions=subscriptions)

    def check(self) -> Iterator[CheckStep]:
        """Whether our application may be told. Raises nothing of the family."""
        return self._graph.check()

    def close(self) -> None:
        """Let go of connections."""
        self._graph.close()

    def _identity(self, profile: Profile, tenant: str, *, subject: str, asked_at: datetime) -> Identity:
        state = State.USABLE
        if profile.is_disabled:
            state = State.DISABLED
        elif profile.is_guest and not self._settings.guests:
            state = State.OUT_OF_SCOPE
        if state is not State.USABLE:
            return Identity(connector=self.name, subject=subject, seen_at=asked_at, state=state)
        roles = self._roles(tenant, profile.oid)
        attributes = {"tid": (tenant,), "oid": (profile.oid,), **({"roles": roles} if roles else {})}
        for name in (*SYNCHRONISED, *self._settings.attributes):
            if (value := profile.text(name)) is not None:
                attributes[name.lower()] = (value,)
        return Identity(
            connector=self.name,
            subject=subject,
            seen_at=asked_at,
            username=profile.text("userPrincipalName"),
            given_name=profile.text("givenName") or "",
            family_name=profile.text("surname") or "",
            email=profile.text("mail"),
            number=profile.text("employeeId"),
            phone_number=profile.text("mobilePhone"),
            groups=self._groups(tenant, profile.oid) | {role.lower() for role in roles},
            attributes=attributes,
        )

    def _groups(self, tenant: str, oid: str) -> frozenset[str]:
        found: set[str] = set()
        for group in self._graph.pages(tenant, f"{self._graph.address}/users/{oid}/transitiveMemberOf?$top={PAGE}"):
            if group.get("@odata.type", GROUP) == GROUP:
                found.update(names_of(group, self._settings))
        return frozenset(found)

    def _roles(self, tenant: str, oid: str) -> tuple[str, ...]:
        """Their roles in our application, given to them or to a group that they are in: what the token's `roles` says."""
        if self._settings.watch is None or not self._settings.watch.roles:
            return ()
        application, words = self._application(tenant)
        url = f"{self._graph.address}/users/{oid}/appRoleAssignments?$filter=resourceId eq {application}"
        given: list[Any] = [one.get("appRoleId") for one in self._graph.pages(tenant, url) if one.get("resourceId") == application]
        return tuple(dict.fromkeys(words[one] for one in given if one in words))

    def _application(self, tenant: str) -> tuple[str, Mapping[str, str]]:
        """Our application's object in the tenant, and what its roles are called there."""
        if tenant not in self._role_names:
            url = f"{self._graph.address}/servicePrincipals(appId='{self._settings.client_id}')?$select=id,appRoles"
            answer = self._graph.get(tenant, url)
            found, roles = answer.body.get("id"), answer.body.get("appRoles")
            if answer.status >= 300 or not isinstance(found, str) or not isinstance(roles, list):
                raise self._graph.refusal(url, answer)
            words = {str(one.get("id")): str(one.get("value")) for one in roles if isinstance(one, dict) and one.get("value")}
            self._role_names[tenant] = found, words
        return self._role_names[tenant]
