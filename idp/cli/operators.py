"""The operators that the configuration names: who runs this command, what they hold, and whether they may, asked before the command begins.

Looks up whom and where its parameters name, and asks policies/acts.py. Every refusal is an Event desk.refused, and says nothing of whether the person
is there. Whoever can write the configuration, or read the master key and the store, is above all this: docs/roles.md says how to set up sudo.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from idp.audit import Reason
from idp.cli.acts import COMMAND_ACTS, Needs
from idp.desk.authority import ActRefused, Agent, Authority, operator
from idp.errors import VestibuleError
from idp.people import accounts
from idp.store.base import Account, Establishment
from idp.store.database import Transaction
from policies.acts import Act, Actor, Holding, may, may_everywhere
from policies.decision import Decision

if TYPE_CHECKING:
    from idp.cli.place import Place

NOT_OPEN = "your role does not open this command here, or the person is not of your establishments; the attempt is recorded"
SAID = {
    Reason.ACT_ON_ONESELF: "nobody does this to their own account: ask another contact",
    Reason.ACT_UPWARDS: "this person may do more than you: only somebody who may do as much acts on them",
}


class NotOpen(VestibuleError):
    """The command is refused; `detail` is what the terminal shows."""


def agent_of(place: "Place", user: str) -> Agent:
    """Who runs the command, with what the configuration lets them hold; everything when it names nobody."""
    if not place.config.operators:
        return operator(place.author)
    with place.database.read() as tx:
        return operator(place.author, _actor(place, user, tx))


def admit(place: "Place", user: str, command: str, given: Mapping[str, Any]) -> None:
    """Raises NotOpen unless the configuration lets this user run this command, one that needs an act, with these parameters."""
    needs = COMMAND_ACTS.get(command)
    try:
        if needs is None or needs.act is None:
            raise ActRefused(Reason.ACT_NOT_HELD, Act.MANAGE_ADMINISTRATORS)
        # Some commands are run before there is a store: where nobody is named, none is needed to refuse.
        ask = may_everywhere if _is_everywhere(needs, given) else may
        _demand(ask(needs.act, _listed(place, user)), needs.act)
        if needs.whom or needs.where or needs.thing:
            with place.database.read() as tx:
                _ask(place, user, needs.act, tx=tx, needs=needs, given=given)
    except ActRefused as refused:
        Authority(place.database, place.clock).record(refused, place.author)
        raise NotOpen(str(refused.code), SAID.get(refused.code, NOT_OPEN)) from refused


def _ask(place: "Place", user: str, act: Act, *, tx: Transaction, needs: Needs, given: Mapping[str, Any]) -> None:
    authority = Authority(place.database, place.clock)
    agent = operator(place.author, _actor(place, user, tx))
    is_group_wide = agent.actor.places(act) is None
    where = _where(tx, needs, given)
    named = [str(given[name]) for name in needs.whom if given.get(name)]
    if where is None and (needs.thing or (needs.where and given.get(needs.where))):
        # Not there: to whoever sees everything the command itself says so.
        if not is_group_wide:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, act)
        return
    if not named:
        authority.demand(tx, act, agent, establishment=where)
    for text in named:
        person = _named(tx, text, where)
        if person is None and not is_group_wide:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, act)
        if person is not None:
            authority.demand(tx, act, agent, account=person, establishment=where)


def _is_everywhere(needs: Needs, given: Mapping[str, Any]) -> bool:
    return needs.is_everywhere or (needs.where is not None and not given.get(needs.where))


def _demand(decision: Decision, act: Act) -> None:
    if not decision.is_allowed:
        raise ActRefused(Reason(decision.reasons[0]), act)


def _where(tx: Transaction, needs: Needs, given: Mapping[str, Any]) -> Establishment | None:
    if needs.thing is not None:
        establishment_id = THINGS[needs.thing](tx, str(given[needs.thing]))
        return tx.establishments.get(establishment_id) if establishment_id else None
    if needs.where is None or not given.get(needs.where):
        return None
    return tx.establishments.by_slug(str(given[needs.where]))


def _workstation(tx: Transaction, workstation_id: str) -> str | None:
    found = tx.workstations.get(workstation_id)
    return found.establishment_id if found is not None else None


def _reset(tx: Transaction, reset_id: str) -> str | None:
    found = tx.resets.get(reset_id.strip().upper())
    return found.establishment_id if found is not None else None


THINGS: Mapping[str, Callable[[Transaction, str], str | None]] = {"workstation_id": _workstation, "reset_id": _reset}


def _named(tx: Transaction, text: str, where: Establishment | None) -> Account | None:
    try:
        return accounts.named(tx, text, establishment_id=where.id if where is not None else None)
    except accounts.AccountRefused:
        return None


def _listed(place: "Place", user: str) -> Actor:
    """What a user holds, establishments by their slugs: enough where nobody is named."""
    return Actor(
        account_id=None, holdings=tuple(Holding(one.role, one.establishment) for one in place.config.operators if one.user == user)
    )


def _actor(place: "Place", user: str, tx: Transaction) -> Actor:
    """What a user holds, as the store knows the establishments; a role at one that is not there is held nowhere."""
    return Actor(account_id=_own_account(place, user, tx), holdings=tuple(_holdings(place, user, tx)))


def _holdings(place: "Place", user: str, tx: Transaction) -> Iterator[Holding]:
    for one in _listed(place, user).holdings:
        if one.establishment_id is None:
            yield one
        elif (found := tx.establishments.by_slug(one.establishment_id)) is not None and found.ended_at is None:
            yield replace(one, establishment_id=found.id)


def _own_account(place: "Place", user: str, tx: Transaction) -> str | None:
    text = next((one.account for one in place.config.operators if one.user == user and one.account), None)
    return None if text is None else accounts.named(tx, text).id
