"""Who is in the OpenLDAP server of the tests (slapd.py), what they are called and what they may do, as LDIF.

The suffix is dc=annuaire,dc=test. Everybody's password is PASSWORD. The cast (uid, all under ou=people):
  d.claire  nurse at tilleuls (group tilleuls-infirmiers), mail d.claire@annuaire.example, number 70001
  d.hugo    aide at glycines through a group in a group (glycines-nuit in glycines-aides), number 70002
  d.amina   nurse at tilleuls and at glycines, and in two groups that hold each other (boucle-a, boucle-b), number 70003
  d.zoe     Zoé Éluard, nurse at tilleuls, whose entry is named cn=Éluard\\, Zoé (RSSI) #1 - not by uid, number 70004
  d.paul    in no group; departmentNumber SI-12, number 70005
  d.remi    nurse at tilleuls but employeeType prestataire: outside `SCOPE`
  d.lea, d.noa   share the mail accueil@annuaire.example: it names neither
Service accounts: cn=vestibule (reads what the guide says, and nothing else), cn=vestibule-passwords (may also replace passwords), cn=vestibule-desk
(the reset desk's, as the guide grants it: also unlocks, and says that a password must be changed).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence

SUFFIX = "dc=annuaire,dc=test"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
POLICY = f"cn=default,ou=policies,{SUFFIX}"
SERVICE = f"cn=vestibule,ou=services,{SUFFIX}"
PASSWORD_SERVICE = f"cn=vestibule-passwords,ou=services,{SUFFIX}"
DESK_SERVICE = f"cn=vestibule-desk,ou=services,{SUFFIX}"
CANARY_SERVICE = f"cn=vestibule-canary,ou=services,{SUFFIX}"
CANARY = f"uid=d.claire,{PEOPLE}"  # where a test has a canary, she is nobody
ROOT = f"cn=root,{SUFFIX}"
PASSWORD = "Muguet-Passerelle-58-Loutre"
SERVICE_PASSWORD = "Service-Tamaris-41-Grelot"
ROOT_PASSWORD = "root-Anemone-77"
SCOPE = "(&(objectClass=inetOrgPerson)(!(employeeType=prestataire)))"


def hashed(password: str) -> str:
    """{SSHA}, as slapd compares it."""
    salt = b"annuaire"
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def ldif_entry(dn: str, attributes: Mapping[str, str | Sequence[str]]) -> str:
    """One entry as LDIF (RFC 2849), base64 where needed."""
    lines = [_ldif_line("dn", dn)]
    for name, value in attributes.items():
        lines += [_ldif_line(name, one) for one in ([value] if isinstance(value, str) else value)]
    return "\n".join(lines) + "\n\n"


def person_ldif(uid: str, given_name: str, family_name: str, *, dn: str | None = None, **attributes: str) -> str:
    """A person of the cast as LDIF."""
    values = {
        "objectClass": ["inetOrgPerson", "shadowAccount"],
        "uid": uid,
        "cn": f"{given_name} {family_name}",
        "givenName": given_name,
        "sn": family_name,
        "userPassword": hashed(PASSWORD),
        **attributes,
    }
    return ldif_entry(dn or f"uid={uid},{PEOPLE}", values)


def _ldif_line(name: str, value: str) -> str:
    plain = value.isascii() and value.isprintable() and not value.startswith((" ", ":", "<")) and not value.endswith(" ")
    return f"{name}: {value}" if plain else f"{name}:: {base64.b64encode(value.encode()).decode()}"


ZOE = f"cn=Éluard\\, Zoé (RSSI) #1,{PEOPLE}"


def initial_ldif() -> str:
    units = "".join(
        ldif_entry(dn, {"objectClass": "organizationalUnit", "ou": dn.split(",")[0][3:]})
        for dn in (
            PEOPLE,
            f"ou=nights,{PEOPLE}",
            GROUPS,
            f"ou=services,{SUFFIX}",
            f"ou=policies,{SUFFIX}",
            f"ou=elsewhere,{SUFFIX}",
        )
    )
    policy = {
        "objectClass": ["device", "pwdPolicy"],
        "cn": "default",
        "pwdAttribute": "userPassword",
        "pwdLockout": "TRUE",
        "pwdMaxFailure": "3",
        "pwdLockoutDuration": "0",
        "pwdFailureCountInterval": "0",
        "pwdMustChange": "TRUE",
        "pwdAllowUserChange": "TRUE",
        "pwdCheckQuality": "1",
        "pwdMinLength": "10",
        "pwdInHistory": "3",
        "pwdMaxAge": "0",
    }
    services = "".join(
        ldif_entry(
            dn,
            {
                "objectClass": ["organizationalRole", "simpleSecurityObject"],
                "cn": dn.split(",")[0][3:],
                "userPassword": hashed(SERVICE_PASSWORD),
            },
        )
        for dn in (SERVICE, PASSWORD_SERVICE, DESK_SERVICE, CANARY_SERVICE)
    )
    cast = (
        person_ldif("d.claire", "Claire", "Dumont", mail="d.claire@annuaire.example", employeeNumber="70001", mobile="06 00 00 00 01"),
        person_ldif("d.hugo", "Hugo", "Delmas", mail="d.hugo@annuaire.example", employeeNumber="70002"),
        person_ldif("d.amina", "Amina", "Diallo", mail="d.amina@annuaire.example", employeeNumber="70003"),
        person_ldif("d.zoe", "Zoé", "Éluard", dn=ZOE, mail="d.zoe@annuaire.example", employeeNumber="70004").replace(
            _ldif_line("cn", "Zoé Éluard"), _ldif_line("cn", "Éluard, Zoé (RSSI) #1")
        ),
        person_ldif("d.paul", "Paul", "Derain", mail="d.paul@annuaire.example", employeeNumber="70005", departmentNumber="SI-12"),
        person_ldif("d.remi", "Rémi", "Dorval", mail="d.remi@annuaire.example", employeeNumber="70006", employeeType="prestataire"),
        person_ldif("d.lea", "Léa", "Dufour", mail="accueil@annuaire.example", employeeNumber="70007"),
        person_ldif("d.noa", "Noa", "Dufour", mail="accueil@annuaire.example", employeeNumber="70008"),
    )
    root = ldif_entry(SUFFIX, {"objectClass": ["dcObject", "organization"], "dc": "annuaire", "o": "Annuaire"})
    return root + units + ldif_entry(POLICY, policy) + services + "".join(cast)


def initial_groups() -> tuple[tuple[str, tuple[str, ...]], ...]:
    claire, hugo, amina, remi = (f"uid={uid},{PEOPLE}" for uid in ("d.claire", "d.hugo", "d.amina", "d.remi"))
    return (
        ("tilleuls-infirmiers", (claire, amina, ZOE, remi)),
        ("glycines-infirmiers", (amina,)),
        ("glycines-nuit", (hugo,)),
        ("glycines-aides", (f"cn=glycines-nuit,{GROUPS}",)),
        ("boucle-a", (amina, f"cn=boucle-b,{GROUPS}")),
        ("boucle-b", (f"cn=boucle-a,{GROUPS}",)),
    )
