"""node-oidc-provider as a real upstream provider, in its own process on a free loopback port: two clients, people of a list, a hand inside for tests.

Its packages are those that the bench locks (bench/peers/node_oidc_provider/package-lock.json, with integrity hashes); `make test` installs them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.peers import node_oidc
from bench.subject import PreparationError
from tests.support.processes import answers, free_port, running

SCRIPT = Path(__file__).with_suffix(".mjs")
CODE = "trois tasses"
CLIENT, SECRET = "vestibule", "un secret+qui:a/besoin%d'etre encode & plus"
ASCII_SECRET = "another-secret-of-ours-0123456789abcdef"
MFA, ONE_FACTOR = "urn:upstream:two", "urn:upstream:one"

PEOPLE: dict[str, dict[str, Any]] = {
    "u-claire": {
        "login": "claire",
        "levels": [ONE_FACTOR, MFA],
        "claims": {
            "preferred_username": "claire",
            "given_name": "Claire",
            "family_name": "Amont",
            "email": "claire@amont.example",
            "email_verified": True,
            "phone_number": "+33612345678",
            "groups": ["tilleuls-ide", "Tous"],
            "department": "Soins",
            "realm_access": {"roles": ["Infirmier"]},
        },
    },
    "u-driss": {
        "login": "driss",
        "levels": [ONE_FACTOR],
        "claims": {"preferred_username": "driss", "given_name": "Driss", "family_name": "Amont", "email": "driss@amont.example"},
    },
}
SCOPES = {
    "profile": ["preferred_username", "given_name", "family_name", "groups", "department", "realm_access"],
    "email": ["email", "email_verified"],
    "phone": ["phone_number"],
}

# What Pro Santé Connect says of a person; names and shapes as its documentation has them, the person made up.
PSC_PEOPLE: dict[str, dict[str, Any]] = {
    "f:550dc1c8-d97b-4b1e-ac8c-8eb4471cf9dd:899700218896": {
        "login": "899700218896",
        "levels": ["eidas1"],
        "claims": {
            "preferred_username": "899700218896",
            "SubjectNameID": "899700218896",
            "given_name": "Claire",
            "family_name": "Amont",
            "email": "claire@annuaire.example",
            "email_verified": True,
            "SubjectRole": ["60^1.2.250.1.213.1.1.5.5"],
            "SubjectOrganization": "EHPAD LES TILLEULS",
            "SubjectOrganizationID": "1750000001",
            "Secteur_Activite": "SA17^1.2.250.1.71.4.2.4",
            "Palier_Authentification": "APPPRIP3^1.2.250.1.213.1.5.1.1.1",
            "SubjectRefPro": {
                "codeCivilite": "MME",
                "exercices": [
                    {
                        "codeProfession": "60",
                        "codeCategorieProfessionnelle": "C",
                        "nomDexercice": "Amont",
                        "prenomDexercice": "Claire",
                        "activities": [{"codeModeExercice": "S", "numeroFinessSite": "750000001"}],
                    }
                ],
            },
        },
    },
}
PSC_SCOPES = {"scope_all": list(next(iter(PSC_PEOPLE.values()))["claims"])}


@dataclass(slots=True)
class NodeProvider:
    """A running node-oidc-provider; `people` by their subject."""

    issuer: str
    log: Path
    people: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settings(self, name: str = "amont", **more: Any) -> dict[str, Any]:
        """What an operator writes of it under `providers`, the secret by its file."""
        secret = self.log.with_name("client-secret")
        secret.write_text(SECRET, encoding="utf-8")
        return {
            "type": "oidc",
            "name": name,
            "label": "Groupe Amont",
            "issuer": self.issuer,
            "client_id": CLIENT,
            "client_secret": f"file:{secret}",
            **more,
        }

    def set_time(self, moment: datetime | None) -> None:
        """Its clock stands still at a moment; None: it goes again."""
        self._tell("time", {"milliseconds": int(moment.timestamp() * 1000)} if moment else {})

    def rotate_keys(self) -> None:
        """Sign with new keys, and publish no others."""
        self._tell("keys", {})

    def redirect_to(self, *uris: str) -> None:
        """Register other redirect addresses; its keys change too."""
        self._tell("redirects", {"uris": uris})

    def change(self, subject: str, **changed: Any) -> None:
        """Somebody is another from now on: `disabled=True`, `levels=[…]`, `claims={…}` (added to those there are)."""
        person = dict(self.people[subject])
        person["claims"] = {**person["claims"], **changed.pop("claims", {})}
        self.people[subject] = person | changed
        self._tell("people", self.people)

    def rename(self, subject: str, to: str) -> None:
        """Somebody goes, and somebody of the same login comes: another subject."""
        self.people[to] = self.people.pop(subject)
        self._tell("people", self.people)

    def reset(self, people: Mapping[str, dict[str, Any]] = PEOPLE) -> None:
        """The people of a list, and time as it is."""
        self.people = {subject: {"code": CODE, **person} for subject, person in people.items()}
        self._tell("people", self.people)
        self.set_time(None)

    def _tell(self, what: str, said: Mapping[str, Any]) -> None:
        httpx.post(f"{self.issuer}/test/{what}", json=said, timeout=10, trust_env=False).raise_for_status()


@contextmanager
def node_provider_serving(
    folder: Path,
    redirect_uris: list[str],
    *,
    people: Mapping[str, dict[str, Any]] = PEOPLE,
    scopes: Mapping[str, list[str]] = SCOPES,
    levels: tuple[str, ...] = (ONE_FACTOR, MFA),
    clients: tuple[Mapping[str, Any], ...] = (),
) -> Iterator[NodeProvider]:
    """The server for the length of the block; `clients` beyond the usual one get the redirect addresses too. Missing packages fail the test."""
    try:
        node_oidc.install()
        node = node_oidc.binary()
    except PreparationError as error:
        pytest.fail(f"node-oidc-provider cannot be run: {error}", pytrace=False)
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    usual = {"client_id": CLIENT, "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_basic"}
    settings = {
        "port": port,
        "issuer": issuer,
        "packages": str(node_oidc.FOLDER / "node_modules"),
        "clients": [{**client, "redirect_uris": redirect_uris} for client in (usual, *clients)],
        "people": {},
        "scopes": scopes,
        "acrValues": levels,
    }
    environment = {"UPSTREAM_SETTINGS": json.dumps(settings), "NODE_ENV": "production"}
    discovery = f"{issuer}/.well-known/openid-configuration"
    log = folder / "node-oidc-provider.log"
    with running([str(node), str(SCRIPT)], log=log, ready=lambda: answers(discovery), environment=environment, folder=folder):
        provider = NodeProvider(issuer, log)
        provider.reset(people)
        yield provider
