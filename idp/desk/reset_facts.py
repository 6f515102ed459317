"""What a Reset is judged by, gathered at one instant: whose password it is, what factors are left, who is privileged, what time it is there.

Owns the gathering, and who is told when something waits. Judges nothing (policies/resets.py does) and changes nothing.
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

from idp.audit import Reason
from idp.clock import Clock
from idp.config import Config
from idp.desk.authority import Agent, is_privileged
from idp.errors import VestibuleError
from idp.signin.directories import Directories
from idp.signin.enrolment import has_strong
from idp.signin.gate import proofs_of
from idp.store.base import Account, Establishment, Reset
from idp.store.database import Transaction
from policies.acts import ROLES, Act
from policies.assurance import Method
from policies.resets import Detail, Kind, ResetFacts, ResetRules, Why, is_night, needs_second

LOCAL = "local"
PASSKEYS = frozenset({Method.PASSKEY, Method.PASSKEY_VERIFIED})
ACTS: dict[str, tuple[Act, ...]] = {
    "password": (Act.RESET_PASSWORD,),
    "factor": (Act.RESET_FACTOR,),
    "both": (Act.RESET_PASSWORD, Act.RESET_FACTOR),
}


class ResetRefused(VestibuleError):
    """A move of a Reset may not be made; `code` is an idp.audit.Reason. Whoever raises it has kept its Event (reset.refused)."""

    def __init__(self, code: Reason, detail: str = "", *, account_id: str | None = None, establishment_id: str | None = None) -> None:
        super().__init__(str(code), detail)
        self.code = code
        self.account_id = account_id
        self.establishment_id = establishment_id


class ResetFactsOf:
    """Gathers. Safe between threads."""

    def __init__(self, config: Config, directories: Directories, clock: Clock) -> None:
        self._config = config
        self._directories = directories
        self._clock = clock

    @property
    def rules(self) -> ResetRules:
        """What an operator has set."""
        return self._config.resets.rules

    def source(self, tx: Transaction, account: Account, kind: Kind) -> str:
        """Whose password it is: LOCAL, or a directory's name; LOCAL for a factor. Raises ResetRefused when it is a provider's."""
        if kind == "factor":
            return LOCAL
        links = tx.links.of_account(account.id)
        named = next((one.connector for one in links if one.kind == "directory" and self._directories.get(one.connector) is not None), None)
        if named is not None:
            return named
        if links and tx.people.password(account.id) is None:
            raise ResetRefused(Reason.RESET_ELSEWHERE, links[0].connector, account_id=account.id)
        return LOCAL

    def has_factor(self, tx: Transaction, account: Account) -> bool:
        """Whether they have a second factor that can prove something."""
        return has_strong(tx.factors.open_of(account.id))

    def of(self, tx: Transaction, account: Account, place: Establishment, kind: Kind) -> ResetFacts:
        """As policies/resets.py judges by them."""
        return ResetFacts(
            kind=kind,
            has_factor=self.has_factor(tx, account),
            is_privileged=is_privileged(tx, account),
            local_time=self._clock.now().astimezone(ZoneInfo(place.time_zone)),
        )

    def whys(self, tx: Transaction, account: Account, place: Establishment, kind: Kind) -> tuple[Why, ...]:
        """Why two people are needed now."""
        return needs_second(self.of(tx, account, place, kind), self.rules)

    def detail(self, account: Account, channel: str) -> Detail:
        """An address or a number of theirs, and since when it is this one: what was never changed is as old as the account."""
        if channel == "email":
            return Detail(is_there=account.email is not None, changed_at=account.email_changed_at or account.created_at)
        return Detail(is_there=account.phone_number is not None, changed_at=account.phone_changed_at or account.created_at)

    def has_fresh_passkey(self, agent: Agent) -> bool:
        """Whether a passkey has confirmed a moment ago that they are there."""
        since = self._clock.now() - self._config.console.step_up
        return agent.session is not None and any(one.method in PASSKEYS and one.at >= since for one in proofs_of(agent.session))

    def approvers(self, tx: Transaction, reset: Reset, place: Establishment) -> list[Account]:
        """Who may be the second person: at night the group's on-call pool with those of the establishment, by day those of the establishment; the
        pool too where there is nobody else."""
        near = self._holders(tx, Act.APPROVE, place.id, in_group=False)
        night = is_night(self._clock.now().astimezone(ZoneInfo(place.time_zone)), self.rules)
        found = near if near and not night else [*near, *self._holders(tx, Act.APPROVE, None, in_group=True)]
        busy = touched_by(reset) | {reset.account_id}
        return list({one.id: one for one in found if one.id not in busy}.values())

    def agents(self, tx: Transaction, place: Establishment, *, in_group: bool = False) -> list[Account]:
        """Who may carry resets out at an establishment; with `in_group`, those of the group too."""
        found = self._holders(tx, Act.RESET_PASSWORD, place.id, in_group=False)
        if in_group or not found:
            found += self._holders(tx, Act.RESET_PASSWORD, None, in_group=True)
        return list({one.id: one for one in found}.values())

    def _holders(self, tx: Transaction, act: Act, place_id: str | None, *, in_group: bool) -> list[Account]:
        ids = [
            role.account_id
            for role in tx.roles.holders()
            if act in ROLES.get(role.role, frozenset())
            and (role.establishment_id is None if in_group else role.establishment_id == place_id)
        ]
        found = (tx.people.get(one) for one in dict.fromkeys(ids))
        return [one for one in found if one is not None and one.is_active]


def touched_by(reset: Reset) -> frozenset[str]:
    """The Accounts that asked for it, recorded the proof, or carried it out."""
    actors = (reset.asked_by, reset.proof_by, reset.carried_by)
    return frozenset(one.removeprefix("account:") for one in actors if one is not None and one.startswith("account:"))


def waited(reset: Reset, clock: Clock) -> timedelta:
    """Since it was asked for, until now or until it ended."""
    return (reset.closed_at or clock.now()) - reset.asked_at
