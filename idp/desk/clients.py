"""Applications, as the console registers, changes and withdraws them. A secret is made here, shown once and kept as a digest.

Owns the checks that the commands make too. What is written is idp/registry.py's. What the configuration file says is changed there: NotYours.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from idp import registry
from idp.audit import Reason
from idp.clock import Clock
from idp.config import ClientSettings, Config, Finding, check_client, check_roles
from idp.crypto import digest
from idp.desk.authority import ActRefused, Agent, Authority
from idp.desk.places import refuse_configured
from idp.desk.wrong_input import Problem, WrongInput, problems_in, problems_of
from idp.endings import Ended
from idp.store.base import Client
from idp.store.database import Database, Transaction
from policies.acts import Act

_ACT = Act.MANAGE_CLIENTS


class Clients:
    """Safe between threads; one per process."""

    def __init__(self, config: Config, database: Database, *, authority: Authority, clock: Clock) -> None:
        self._config = config
        self._database = database
        self._authority = authority
        self._clock = clock

    def get(self, client_id: str) -> Client:
        """An application that has not been withdrawn; ActRefused when there is none."""
        with self._database.read() as tx:
            return self._open(tx, client_id)

    def read(self, values: Mapping[str, Any], *, base: ClientSettings | None = None) -> ClientSettings:
        """The registration that a form says, over the one that is there (`base`). Raises WrongInput with every problem.

        `jwks` is JSON text, `roles` lines of profile=role; lists are lists; the rest as in the configuration.
        """
        wanted: dict[str, Any] = {**(base.model_dump() if base else {}), **values}
        problems: list[Problem] = []
        if isinstance(wanted.get("jwks"), str):
            wanted["jwks"] = _read_jwks(wanted["jwks"], problems)
        if isinstance(wanted.get("roles"), str):
            wanted["roles"] = _read_roles(wanted["roles"], problems)
        try:
            settings = ClientSettings(**wanted)
        except ValidationError as error:
            raise WrongInput([*problems_of(error), *problems]) from error
        problems += problems_in(self.findings(settings))
        problems += [Problem("profiles", f"no profile {name}") for name in settings.profiles if name not in self._config.profiles]
        with self._database.read() as tx:
            problems += _unknown_establishments(tx, settings)
        if problems:
            raise WrongInput(problems)
        return settings

    def findings(self, settings: ClientSettings) -> tuple[Finding, ...]:
        """What is wrong with a registration, and what is only unwise."""
        return (*check_client(settings), *check_roles(settings, self._config.profiles))

    def refuse_taken(self, client_id: str) -> None:
        """Raises WrongInput when an application has this identifier already."""
        with self._database.read() as tx:
            self._refuse_taken(tx, client_id)

    def add(self, agent: Agent, settings: ClientSettings) -> str | None:
        """Register; the secret, to be shown once, where the application proves itself by one. Raises WrongInput, ActRefused."""
        secret = registry.new_secret(self._clock) if settings.token_endpoint_auth_method.startswith("client_secret") else None
        with self._database.write() as tx:
            self._authority.demand(tx, _ACT, agent)
            tx.lock("registry")
            self._refuse_taken(tx, settings.client_id)
            self._refuse_unknown(tx, settings)
            kept = digest(secret) if secret else None
            registry.put_client(tx, settings, agent.author, secret_digest=kept, source=registry.OPERATOR, clock=self._clock)
        return secret

    def change(self, agent: Agent, settings: ClientSettings) -> bool:
        """Change a registration; its secret stays. Whether anything changed. Raises NotYours, WrongInput, ActRefused."""
        with self._database.write() as tx:
            self._authority.demand(tx, _ACT, agent)
            tx.lock("registry")
            found = self._owned(tx, settings.client_id)
            self._refuse_unknown(tx, settings)
            return registry.put_client(
                tx, settings, agent.author, secret_digest=found.secret_digest, source=found.source, clock=self._clock
            )

    def rotate(self, agent: Agent, client_id: str) -> str:
        """A new secret, to be shown once; the old one stops at once. Raises NotYours, ActRefused; WrongInput when it proves itself otherwise."""
        with self._database.write() as tx:
            self._authority.demand(tx, _ACT, agent)
            tx.lock("registry")
            found = self._owned(tx, client_id)
            if found.secret_digest is None:
                raise WrongInput([Problem("secret", f"it proves itself by {found.settings.token_endpoint_auth_method}")])
            return registry.rotate_secret(tx, found, agent.author, clock=self._clock)

    def end(self, agent: Agent, client_id: str) -> Ended:
        """Withdraw: every access to it ends. Raises NotYours, ActRefused."""
        with self._database.write() as tx:
            self._authority.demand(tx, _ACT, agent)
            tx.lock("registry")
            self._owned(tx, client_id)
            return registry.end_client(tx, client_id, agent.author, clock=self._clock)

    def _owned(self, tx: Transaction, client_id: str) -> Client:
        found = self._open(tx, client_id)
        refuse_configured(found.source, client_id)
        return found

    def _open(self, tx: Transaction, client_id: str) -> Client:
        found = tx.clients.get(client_id)
        if found is None or found.ended_at is not None:
            raise ActRefused(Reason.ACT_TARGET_UNKNOWN, _ACT)
        return found

    def _refuse_taken(self, tx: Transaction, client_id: str) -> None:
        present = tx.clients.get(client_id)
        if present is not None and present.ended_at is None:
            raise WrongInput([Problem("client_id", "an application has this identifier already")])

    def _refuse_unknown(self, tx: Transaction, settings: ClientSettings) -> None:
        if problems := list(_unknown_establishments(tx, settings)):
            raise WrongInput(problems)


def _unknown_establishments(tx: Transaction, settings: ClientSettings) -> Iterable[Problem]:
    for slug in (*settings.establishments, *filter(None, [settings.default_establishment])):
        found = tx.establishments.by_slug(slug)
        if found is None or found.ended_at is not None:
            yield Problem("establishments", f"no establishment {slug}")


def _read_jwks(text: str, problems: list[Problem]) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(Problem("jwks", f"not JSON: {error}"))
        return None
    if not isinstance(found, dict):
        problems.append(Problem("jwks", "must be a JWK set: {keys: [...]}"))
        return None
    return found


def _read_roles(text: str, problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        profile, equals, role = (part.strip() for part in line.partition("="))
        if not equals:
            problems.append(Problem("roles", f"{line[:60]}: write profile=role"))
            continue
        found[profile] = (*found.get(profile, ()), *([role] if role else []))
    return found
