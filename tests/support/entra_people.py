"""Whom the stand-in knows: tenants, people, groups and applications, as an administrator would have made them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TENANT = "72f988bf-0000-4000-8000-00000000beef"
OTHER_TENANT = "0a1b2c3d-0000-4000-8000-00000000cafe"  # another employer's, allowed by the tests that have two
CLIENT_ID = "6731de76-14a6-49ae-97bc-6eba6914391e"
SECRET = "un-secret-d-application-4f7a"
PASSWORD = "Mot-de-passe-chez-Microsoft-1"
MFA_CODE = "482913"


@dataclass(frozen=True)
class Group:
    """A group of a tenant. `is_synchronised`: it comes from an Active Directory. `kind` is Graph's type."""

    id: str
    name: str
    is_synchronised: bool = False
    kind: str = "#microsoft.graph.group"

    def shown(self, *, with_names: bool) -> dict[str, Any]:
        """As in Graph: without GroupMember.Read.All only the id is told."""
        told = {"displayName": self.name, "onPremisesSamAccountName": self.name if self.is_synchronised else None}
        hidden = dict.fromkeys(told)
        return {
            "@odata.type": self.kind,
            "id": self.id,
            **(told if with_names else hidden),
            "onPremisesSyncEnabled": True if self.is_synchronised and with_names else None,
        }


@dataclass
class Person:
    """Somebody in a tenant. `home` is the tenant that authenticates them: another one for a guest."""

    oid: str
    upn: str
    given_name: str
    surname: str
    tenant: str = TENANT
    home: str = ""
    mail: str | None = None
    mobile: str | None = None
    employee_id: str | None = None
    immutable_id: str | None = None
    sid: str | None = None
    is_synchronised: bool = False  # by Entra Connect; an administrator of the tenant may write an immutable id without that
    department: str | None = None
    enabled: bool = True
    deleted: bool = False
    groups: list[Group] = field(default_factory=list)  # direct
    nested: list[Group] = field(default_factory=list)  # through the direct ones
    roles: list[str] = field(default_factory=list)
    refresh_error: int | None = None  # the AADSTS number that a refresh gets

    @property
    def is_guest(self) -> bool:
        return bool(self.home) and self.home != self.tenant

    @property
    def subject(self) -> str:
        """Our name of them."""
        return f"{self.tenant}/{self.oid}"

    def shown(self) -> dict[str, Any]:
        """Every property that Graph can be asked for."""
        return {
            "id": self.oid,
            "displayName": f"{self.given_name} {self.surname}",
            "givenName": self.given_name,
            "surname": self.surname,
            "mail": self.mail,
            "userPrincipalName": self.upn,
            "mobilePhone": self.mobile,
            "employeeId": self.employee_id,
            "accountEnabled": self.enabled,
            "userType": "Guest" if self.is_guest else "Member",
            "onPremisesImmutableId": self.immutable_id,
            "onPremisesSecurityIdentifier": self.sid,
            "onPremisesSyncEnabled": True if self.is_synchronised else None,
            "department": self.department,
        }


@dataclass
class Registration:
    """Our application there. `secrets`: value to its end. `certificates`: SHA-256 thumbprint (base64url) to the PEM of the public key."""

    client_id: str = CLIENT_ID
    secrets: dict[str, datetime] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)
    redirect_uris: set[str] = field(default_factory=set)
    of_several_tenants: bool = False
    tells_groups: bool = True  # token configuration: the groups claim
    tells_auth_time: bool = True  # the optional claim, also when asked by `claims`
    enabled: bool = True


def usual_people() -> list[Person]:
    """Those whom every test may use."""
    nurses = Group("9a1d0000-0000-4000-8000-000000000001", "tilleuls-ide", is_synchronised=True)
    cloud = Group("9a1d0000-0000-4000-8000-000000000002", "tilleuls-medecin")
    carers = Group("9a1d0000-0000-4000-8000-000000000003", "soignants", is_synchronised=True)
    admin_role = Group("9a1d0000-0000-4000-8000-000000000004", "Helpdesk Administrator", kind="#microsoft.graph.directoryRole")
    return [
        Person(
            oid="11111111-2222-4333-8444-000000000001",
            upn="nadia.petit@tilleuls.example",
            given_name="Nadia",
            surname="Petit",
            mail="nadia.petit@tilleuls.example",
            mobile="+33 6 12 34 56 78",
            employee_id="E-1007",
            department="Soins",
            groups=[nurses, cloud, admin_role],
            nested=[carers],
            roles=["Tilleuls.IDE"],
        ),
        Person(
            oid="11111111-2222-4333-8444-000000000002",
            upn="omar.haddad@tilleuls.example",
            given_name="Omar",
            surname="Haddad",
            mail="omar.haddad@tilleuls.example",
            groups=[nurses],
        ),
        Person(
            oid="11111111-2222-4333-8444-000000000003",
            upn="invite_fournisseur.example#EXT#@tilleuls.example",
            given_name="Ida",
            surname="Invitée",
            home="0e0e0e0e-0000-4000-8000-000000000e0e",
            groups=[nurses],
        ),
        Person(
            oid="22222222-2222-4333-8444-000000000001",
            upn="paula.roux@lilas.example",
            given_name="Paula",
            surname="Roux",
            tenant=OTHER_TENANT,
            groups=[nurses],
        ),
    ]
