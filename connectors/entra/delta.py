"""Listening to Entra ID: Graph's users/delta and groups/delta, asked every so often, or at once when Microsoft has said that something changed.

Owns what the answers mean: who changed, who is gone, whom a group's change concerns, how far it was heard (the cursor: a delta link of each tenant
and kind). Decides nothing: whoever listens asks for each person. A link lives seven days; one that is refused (410) means that changes may have been
missed.
Source: "Use delta query to track changes", "user: delta", "group: delta".
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal

from connectors.base import Clock, Heard, SourceMisbehaved
from connectors.entra.application import ApplicationGraph, page_of
from connectors.entra.graph import NO_SUCH_PERSON, PAGE, PROPERTIES, error_code_of, names_of
from connectors.entra.settings import EntraSettings, EntraWatchSettings
from connectors.entra.subscription import Subscriptions

GROUP_PROPERTIES = ("displayName", "onPremisesSamAccountName", "onPremisesSyncEnabled")
KINDS = ("users", "groups")
MOST_PAGES = 10_000  # of one round
LOOK_SECONDS = 0.2
QUIET_EVERY = 10  # looks
# What Microsoft says has changed may be in the next answers only a moment later.
SETTLES_WITHIN = timedelta(seconds=3)
MOST_NAMED_AGAIN = 10_000
USER, GROUP = "#microsoft.graph.user", "#microsoft.graph.group"
Place = dict[str, str]  # "tenant users" and "tenant groups": the delta link


class LinkRefusedError(Exception):
    """Graph does not go on from a delta link: 410, or another refusal that says so."""


class GroupNames:
    """What groups were called, by tenant and id. A change tells only what is new; who was placed by the old name must be asked for too."""

    def __init__(self, settings: EntraSettings) -> None:
        self._settings = settings
        self._groups: dict[tuple[str, str], dict[str, Any]] = {}
        self._read: set[str] = set()

    def is_known(self, tenant: str) -> bool:
        """Whether the groups of a tenant were read."""
        return tenant in self._read

    def fill(self, tenant: str, groups: Iterator[Mapping[str, Any]]) -> None:
        """Read them."""
        for group in groups:
            self.change(tenant, group)
        self._read.add(tenant)

    def of(self, tenant: str, oid: str) -> frozenset[str]:
        """A group's names, its id among them."""
        return names_of({"id": oid, **self._groups.get((tenant, oid), {})}, self._settings)

    def change(self, tenant: str, group: Mapping[str, Any]) -> frozenset[str]:
        """Take over what Graph says of a group; its names before and after."""
        oid = str(group.get("id", "")).lower()
        before = self.of(tenant, oid)
        kept = self._groups.setdefault((tenant, oid), {})
        kept.update({name: group[name] for name in GROUP_PROPERTIES if name in group})
        return before | self.of(tenant, oid)

    def forget(self, tenant: str, oid: str) -> frozenset[str]:
        """A group is gone; what it was called."""
        before = self.of(tenant, oid)
        self._groups.pop((tenant, oid), None)
        return before


class DeltaWatcher:
    """Listens to the tenants of one registration (Watcher)."""

    def __init__(
        self,
        name: str,
        settings: EntraSettings,
        graph: ApplicationGraph,
        *,
        clock: Clock,
        names: GroupNames,
        subscriptions: Subscriptions | None,
    ) -> None:
        self.name = name
        self._graph = graph
        self._clock = clock
        self._names = names
        self._subscriptions = subscriptions
        self._tenants = settings.tenants
        self._every = (settings.watch or EntraWatchSettings()).every
        self._select = {
            "users": ",".join(dict.fromkeys((*PROPERTIES, *settings.attributes))),
            "groups": ",".join(("id", *GROUP_PROPERTIES, "members")),
        }
        self._closed = threading.Event()
        self._place: Place = {}
        self._new: dict[str, None] = {}  # named in this round
        self._earlier: dict[str, None] = {}  # named in the one before
        self._has_missed = False
        self._was_woken = False

    def listen(self, cursor: bytes | None, known: Callable[[], Iterator[str]]) -> Iterator[Heard]:
        """See Watcher. Nobody need say whom we know: Graph names who is gone."""
        place = read_place(cursor, self._tenants)
        # What a group was called while nobody listened is not known: its change may concern people who are not named.
        self._has_missed = place is None
        self._place = place or {}
        while not self._closed.is_set():
            yield from self._round()
            yield from self._rest()

    def close(self) -> None:
        """See Watcher."""
        self._closed.set()

    def _round(self) -> Iterator[Heard]:
        """Everything that changed since the last one; the cursor comes after it."""
        if self._subscriptions is not None:
            self._subscriptions.keep()
        # Another of Graph's servers may have answered about them as before: who was named is named once more, one round later.
        self._earlier, self._new = self._new, {}
        for subject in self._earlier:
            yield self._said("person", subject=subject)
        for tenant in self._tenants:
            is_strange = not self._names.is_known(tenant)
            for kind in KINDS:
                yield from self._follow(tenant, kind, is_strange=is_strange)
            if self._closed.is_set():
                return
        cursor = json.dumps(self._place).encode()
        has_missed, self._has_missed = self._has_missed, False
        yield self._said("lost" if has_missed else "quiet", cursor=cursor)

    def _follow(self, tenant: str, kind: str, *, is_strange: bool) -> Iterator[Heard]:
        """What changed of one kind in one tenant. `is_strange`: what the groups were called before is not known."""
        key = f"{tenant} {kind}"
        if key not in self._place:
            self._place[key] = self._latest(tenant, kind)
            self._has_missed = True
        if kind == "groups" and is_strange:
            # Read before their changes are: whatever a group is called by now, its members are asked for when a change names it.
            listing = f"{self._graph.address}/groups?$select=id,{','.join(GROUP_PROPERTIES)}&$top={PAGE}"
            self._names.fill(tenant, self._graph.pages(tenant, listing))
        try:
            for one in self._changes(tenant, key):
                if self._closed.is_set():
                    return
                yield from self._person(tenant, one) if kind == "users" else self._group(tenant, one, is_strange=is_strange)
        except LinkRefusedError:
            self._place[key] = self._latest(tenant, kind)
            self._has_missed = True

    def _changes(self, tenant: str, key: str) -> Iterator[Mapping[str, Any]]:
        """The objects of every page; then the place is where the next round begins."""
        url = self._place[key]
        for _ in range(MOST_PAGES):
            answer = self._graph.get(tenant, url)
            if answer.status == 410 or (400 <= answer.status < 500 and _is_refused_link(error_code_of(answer))):
                raise LinkRefusedError
            if answer.status >= 300:
                raise self._graph.refusal(url, answer)
            objects, following, last = page_of(answer)
            yield from objects
            if last is not None:
                self._place[key] = last
                return
            if following is None:
                raise SourceMisbehaved("Graph: a round of changes without an end")
            url = following
        raise SourceMisbehaved(f"Graph: more than {MOST_PAGES} pages of changes")

    def _latest(self, tenant: str, kind: str) -> str:
        """Where changes from now on are told, without everybody being listed first."""
        url = f"{self._graph.address}/{kind}/delta?$select={self._select[kind]}&$deltatoken=latest"
        answer = self._graph.get(tenant, url)
        link = answer.body.get("@odata.deltaLink")
        if answer.status >= 300 or not isinstance(link, str):
            raise self._graph.refusal(url, answer)
        return link

    def _person(self, tenant: str, one: Mapping[str, Any]) -> Iterator[Heard]:
        oid = _id_of(one)
        if oid is not None:
            # changed: in the bin, for 30 days. deleted: for good. Neither is anybody here.
            yield from self._named(f"{tenant}/{oid}", is_gone="@removed" in one)

    def _group(self, tenant: str, one: Mapping[str, Any], *, is_strange: bool) -> Iterator[Heard]:
        oid = _id_of(one)
        if oid is None:
            return
        if "@removed" in one:
            self._has_missed |= is_strange
            yield self._said("members", groups=self._names.forget(tenant, oid))
            return
        was_called = self._names.of(tenant, oid)
        names = self._names.change(tenant, one)
        if names != was_called or (is_strange and any(one.get(name) is not None for name in GROUP_PROPERTIES)):
            # Renamed: who was placed by the old name, and who is by the new one.
            self._has_missed |= is_strange
            yield self._said("members", groups=names)
        subjects, is_told = self._moved(tenant, one)
        if not is_told:
            yield self._said("members", groups=names)
        for subject in sorted(subjects):
            yield from self._named(subject)

    def _moved(self, tenant: str, one: Mapping[str, Any]) -> tuple[set[str], bool]:
        """Who came or left, through groups in it too; False when that cannot be told. The list may go on in a later object of the same group."""
        found: set[str] = set()
        moved = one.get("members@delta")
        for member in moved if isinstance(moved, list) else []:
            oid = _id_of(member) if isinstance(member, dict) else None
            if oid is None:
                continue
            if member.get("@odata.type", USER) == USER:
                found.add(f"{tenant}/{oid}")
            elif member.get("@odata.type") == GROUP:
                inside = self._inside(tenant, oid)
                if inside is None:
                    return found, False
                found |= inside
        return found, True

    def _inside(self, tenant: str, group: str) -> set[str] | None:
        """Everybody in a group, nested ones too; None when it is gone."""
        url = f"{self._graph.address}/groups/{group}/transitiveMembers/microsoft.graph.user?$select=id&$top={PAGE}"
        found: set[str] = set()
        following: str | None = url
        while following is not None:
            answer = self._graph.get(tenant, following)
            if answer.status == 404 and error_code_of(answer) == NO_SUCH_PERSON:
                return None
            if answer.status >= 300:
                raise self._graph.refusal(url, answer)
            objects, following, _ = page_of(answer)
            found |= {f"{tenant}/{oid}" for oid in map(_id_of, objects) if oid is not None}
        return found

    def _named(self, subject: str, *, is_gone: bool = False) -> Iterator[Heard]:
        """Somebody, once a round."""
        if subject not in self._new:
            if len(self._new) < MOST_NAMED_AGAIN:
                self._new[subject] = None
            yield self._said("gone" if is_gone else "person", subject=subject)

    def _rest(self) -> Iterator[Heard]:
        """Until the next round: `every`, or until Microsoft says something; then soon once more."""
        due_at = self._clock.now() + (min(self._every, SETTLES_WITHIN) if self._was_woken else self._every)
        self._was_woken = False
        looks = 0
        while self._clock.now() < due_at:
            if self._subscriptions is not None and self._subscriptions.were_heard():
                self._was_woken = True
                return
            if self._closed.wait(LOOK_SECONDS):
                return
            looks += 1
            if looks % QUIET_EVERY == 0:
                yield self._said("quiet")

    def _said(
        self,
        kind: Literal["person", "gone", "members", "quiet", "lost"],
        *,
        subject: str = "",
        groups: frozenset[str] = frozenset(),
        cursor: bytes | None = None,
    ) -> Heard:
        return Heard(kind=kind, heard_at=self._clock.now(), subject=subject, groups=groups, cursor=cursor)


def read_place(cursor: bytes | None, tenants: tuple[str, ...]) -> Place | None:
    """A cursor of ours; None for none, for one of something else, and for one that lacks a tenant."""
    try:
        said = json.loads(cursor or b"null")
        wanted = [f"{tenant} {kind}" for tenant in tenants for kind in KINDS]
        return {key: str(said[key]) for key in wanted}
    except (ValueError, TypeError, KeyError):
        return None


def _is_refused_link(code: str | None) -> bool:
    """syncStateNotFound, resyncRequired, and what Entra's own servers say: Directory_ResyncRequired, Directory_ExpiredDeltaLink."""
    said = (code or "").lower()
    return "syncstate" in said or "resync" in said or "deltalink" in said


def _id_of(one: Mapping[str, Any]) -> str | None:
    value = one.get("id")
    return value.lower() if isinstance(value, str) and value else None
