"""Who may do what to whom at the desk and the console: the acts, the roles that bundle them, and the one answer.

Owns the table of roles and the rules over it: nobody acts on themselves, upwards, or outside their establishments. Gathers nothing and does nothing:
idp/desk/authority.py asks here, for pages and commands alike. Source: requirements R1, R17, R35, R82.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from policies.decision import Decision, allow, deny

ACT_ALLOWED = "act_allowed"
ACT_NOT_HELD = "act_not_held"
ACT_ON_ONESELF = "act_on_oneself"
ACT_UPWARDS = "act_upwards"
ACT_OUTSIDE_ESTABLISHMENT = "act_outside_establishment"
ACT_ON_BREAK_GLASS = "act_on_break_glass"
ROLE_GIVES_MORE = "role_gives_more"


class Act(StrEnum):
    """What is asked of the desk or the console. A permission is an act at an establishment, or in the whole group."""

    SEE_CONSOLE = "see_console"  # the front page, establishments, zones, connectors' health
    FIND = "find"  # look people up, see where they are stuck
    UNLOCK = "unlock"
    RESET_PASSWORD = "reset_password"  # noqa: S105  # the name of an act
    RESET_FACTOR = "reset_factor"
    ISSUE_PASS = "issue_pass"  # noqa: S105
    END_SESSIONS = "end_sessions"  # and forget the browsers of a lost telephone
    SUSPEND = "suspend"  # and reinstate
    EDIT_ACCOUNT = "edit_account"  # and create
    ATTACH = "attach"
    DETACH = "detach"
    EDIT_PLACE = "edit_place"  # an establishment, its zones, workstations and rules
    ADD_PLACE = "add_place"  # a new establishment: the group's
    READ_AUDIT = "read_audit"
    APPROVE = "approve"  # be the second person of somebody else's reset
    MANAGE_CLIENTS = "manage_clients"
    MANAGE_SOURCES = "manage_sources"  # try directories and providers; confirm or dismiss a reading that the brake holds
    MANAGE_ADMINISTRATORS = "manage_administrators"


MEANING: Mapping[Act, str] = {
    Act.SEE_CONSOLE: "Enter the console: establishments, zones, the health of directories.",
    Act.FIND: "Look people up, and see where they are stuck.",
    Act.UNLOCK: "Unlock somebody, where the lock is: here or in their directory.",
    Act.RESET_PASSWORD: "Request and carry out the reset of a password.",
    Act.RESET_FACTOR: "Request and carry out the reset of second factors.",
    Act.ISSUE_PASS: "Hand over a one-time pass.",
    Act.END_SESSIONS: "End somebody's sessions, and forget the browsers of a lost telephone.",
    Act.SUSPEND: "Suspend and reinstate an account.",
    Act.EDIT_ACCOUNT: "Create a local account, and correct it.",
    Act.ATTACH: "Attach somebody to an establishment.",
    Act.DETACH: "End an attachment.",
    Act.EDIT_PLACE: "Change an establishment, its zones, workstations and rules.",
    Act.ADD_PLACE: "Add an establishment.",
    Act.READ_AUDIT: "Read and export the audit trail.",
    Act.APPROVE: "Be the second person of somebody else's reset.",
    Act.MANAGE_CLIENTS: "Register, change and withdraw applications.",
    Act.MANAGE_SOURCES: "Try directories and providers; confirm or dismiss a reading that the brake holds.",
    Act.MANAGE_ADMINISTRATORS: "Give and take roles, and whatever goes round the desk's gates by command.",
}

RoleName = Literal["group_administrator", "it_contact", "helpdesk_agent", "director", "auditor", "on_call_approver"]
GROUP_ADMINISTRATOR: Final = "group_administrator"
IT_CONTACT: Final = "it_contact"
HELPDESK_AGENT: Final = "helpdesk_agent"
DIRECTOR: Final = "director"
AUDITOR: Final = "auditor"
ON_CALL_APPROVER: Final = "on_call_approver"

_HELP = frozenset({Act.SEE_CONSOLE, Act.FIND, Act.UNLOCK, Act.RESET_PASSWORD, Act.RESET_FACTOR, Act.ISSUE_PASS, Act.END_SESSIONS})
_PEOPLE = frozenset({Act.SUSPEND, Act.EDIT_ACCOUNT, Act.ATTACH, Act.DETACH})

ROLES: Mapping[str, frozenset[Act]] = {
    GROUP_ADMINISTRATOR: frozenset(Act),
    IT_CONTACT: _HELP | _PEOPLE | {Act.EDIT_PLACE, Act.READ_AUDIT, Act.APPROVE},
    HELPDESK_AGENT: _HELP,
    DIRECTOR: frozenset({Act.SEE_CONSOLE, Act.FIND, Act.END_SESSIONS, Act.SUSPEND, Act.READ_AUDIT, Act.APPROVE}),
    AUDITOR: frozenset({Act.SEE_CONSOLE, Act.FIND, Act.READ_AUDIT}),
    ON_CALL_APPROVER: frozenset({Act.SEE_CONSOLE, Act.APPROVE}),
}
# Where a role is held: for the whole group, at an establishment, or either.
GROUP_ONLY = frozenset({GROUP_ADMINISTRATOR, ON_CALL_APPROVER})
ESTABLISHMENT_ONLY = frozenset({IT_CONTACT, DIRECTOR})

# What these do reaches every establishment: they are held in the whole group or not at all.
GROUP_ACTS = frozenset({Act.ADD_PLACE, Act.MANAGE_CLIENTS, Act.MANAGE_SOURCES, Act.MANAGE_ADMINISTRATORS})
# Looking is allowed of oneself and of one's superiors.
LOOKING = frozenset({Act.SEE_CONSOLE, Act.FIND, Act.READ_AUDIT})
# What these do reaches the person in every establishment, so it takes the act in all of those where they work.
WHOLE_PERSON = frozenset({Act.SUSPEND, Act.EDIT_ACCOUNT, Act.ATTACH})


@dataclass(frozen=True, slots=True)
class Holding:
    """A role held at one establishment, or in the whole group when that is None."""

    role: str
    establishment_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: `account_id` is None for whoever holds the machine (an operator's command)."""

    account_id: str | None
    holdings: tuple[Holding, ...]

    def places(self, act: Act) -> frozenset[str] | None:
        """The establishments at which they hold an act; None for everywhere. An empty set: nowhere."""
        where = {holding.establishment_id for holding in self.holdings if act in ROLES.get(holding.role, frozenset())}
        return None if None in where else frozenset(place for place in where if place is not None)

    def holds(self, act: Act, establishment_id: str | None) -> bool:
        """Whether they hold an act at an establishment; in the whole group when that is None."""
        places = self.places(act)
        return places is None or (establishment_id is not None and establishment_id in places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """On whom. `establishments` are those of their attachments that have not ended, those that begin later too."""

    account_id: str
    establishments: frozenset[str] = frozenset()
    holdings: tuple[Holding, ...] = ()
    is_break_glass: bool = False


OPERATOR = Actor(account_id=None, holdings=(Holding(GROUP_ADMINISTRATOR),))


def may(act: Act, actor: Actor, *, person: Person | None = None, establishment_id: str | None = None) -> Decision:
    """Whether `actor` may do `act`: on a person, at an establishment, on a person at an establishment, or (neither) anywhere at all.

    On a person an act is held where they work: in one of their establishments, or in all of them for WHOLE_PERSON acts. Somebody who works nowhere is
    the group's; only ATTACH takes them in. Upwards is whoever may do, anywhere, something that the actor may not do there.
    """
    places = actor.places(act)
    if places == frozenset():
        return deny(ACT_NOT_HELD, detail=act)
    if act in GROUP_ACTS and places is not None:
        return deny(ACT_OUTSIDE_ESTABLISHMENT, detail=act)
    if establishment_id is not None and not actor.holds(act, establishment_id):
        return deny(ACT_OUTSIDE_ESTABLISHMENT, detail=establishment_id)
    if person is None:
        return allow(ACT_ALLOWED, detail=act)
    if act not in LOOKING:
        if person.account_id == actor.account_id:
            return deny(ACT_ON_ONESELF, detail=act)
        if person.is_break_glass:
            return deny(ACT_ON_BREAK_GLASS, detail=act)
    if act is Act.DETACH and establishment_id is not None and establishment_id not in person.establishments:
        return deny(ACT_OUTSIDE_ESTABLISHMENT, detail=establishment_id)
    if not _reaches(act, places, person):
        return deny(ACT_OUTSIDE_ESTABLISHMENT, detail=person.account_id)
    if act not in LOOKING and _is_upwards(actor, person):
        return deny(ACT_UPWARDS, detail=person.account_id)
    return allow(ACT_ALLOWED, detail=act)


def may_everywhere(act: Act, actor: Actor) -> Decision:
    """Whether `actor` may do `act` in the whole group at once, as a list of everybody does."""
    places = actor.places(act)
    if places is None:
        return allow(ACT_ALLOWED, detail=act)
    return deny(ACT_OUTSIDE_ESTABLISHMENT if places else ACT_NOT_HELD, detail=act)


def may_give(actor: Actor, holding: Holding) -> Decision:
    """Whether a role gives nothing, there, that whoever gives it does not hold. That they may give roles at all is MANAGE_ADMINISTRATORS."""
    more = sorted(act for act in ROLES.get(holding.role, frozenset(Act)) if not actor.holds(act, holding.establishment_id))
    return deny(ROLE_GIVES_MORE, detail=more[0]) if more else allow(ACT_ALLOWED, detail=holding.role)


def _reaches(act: Act, places: frozenset[str] | None, person: Person) -> bool:
    if places is None:
        return True
    if act in WHOLE_PERSON:
        return person.establishments <= places and (bool(person.establishments) or act is Act.ATTACH)
    return bool(person.establishments & places)


def _is_upwards(actor: Actor, person: Person) -> bool:
    return any(
        not actor.holds(act, holding.establishment_id)
        for holding in person.holdings
        for act in ROLES.get(holding.role, frozenset(Act))  # a role that is not in the table may be anything
    )
