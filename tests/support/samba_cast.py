"""What the domain of the tests (samba.py) is called, and who is in it.

The cast (sAMAccountName, under OU=Personnel; password PASSWORD, set a week ago; mail <login>@residences.example, employeeID as said):
  a.claire  80001  nurse at tilleuls; userPrincipalName claire.dumas@residences.example (another suffix than the realm's)
  a.hugo    80002  aide at glycines by a group in a group in a group (glycines-nuit, glycines-equipe, glycines-aides)
  a.amina   80003  nurse at glycines; her primary group is tilleuls-infirmiers: nurse there too
  a.zoe     80004  Zoé Éluard, nurse at tilleuls, whose entry is named CN=Éluard\\, Zoé (RSSI) #1
  a.paul    80005  in no group; department SI-12
  a.lea, a.noa     share the mail accueil@residences.example: it names neither
  a.remi    80006  nurse at tilleuls, but under OU=Prestataires: outside the base
Service accounts under OU=Services: vestibule (an ordinary domain user who also sees who was deleted), vestibule-resets (with the delegation that
the guide describes).
"""

from typing import Any

REALM, NETBIOS, DNS_DOMAIN = "EHPAD.TEST", "EHPAD", "ehpad.test"
HOST = f"dc1.{DNS_DOMAIN}"
SUFFIX = "DC=ehpad,DC=test"
PEOPLE = f"OU=Personnel,{SUFFIX}"
NIGHTS = f"OU=Nuit,{PEOPLE}"
ELSEWHERE = f"OU=Prestataires,{SUFFIX}"
GROUPS = f"OU=Groupes,{SUFFIX}"
SERVICES = f"OU=Services,{SUFFIX}"
SERVICE, RESET_SERVICE = f"CN=vestibule,{SERVICES}", f"CN=vestibule-resets,{SERVICES}"
ADMINISTRATOR, ADMINISTRATOR_PASSWORD = f"Administrator@{DNS_DOMAIN}", "Adm1n-Anemone-77"
PASSWORD = "Muguet-Passerelle-58-Loutre"
SERVICE_PASSWORD = "Service-Tamaris-41-Grelot"
OTHER_SUFFIX = "residences.example"


def _person(given_name: str, family_name: str, number: str, **attributes: Any) -> dict[str, Any]:
    return {"givenName": given_name, "sn": family_name, "employeeID": number, **attributes}


SHARED_MAIL = f"accueil@{OTHER_SUFFIX}"
CAST: dict[str, dict[str, Any]] = {
    "a.claire": _person(
        "Claire",
        "Dumas",
        "80001",
        userPrincipalName=f"claire.dumas@{OTHER_SUFFIX}",
        mail=f"a.claire@{OTHER_SUFFIX}",
        mobile="06 00 00 01 01",
    ),
    "a.hugo": _person("Hugo", "Delorme", "80002", mail=f"a.hugo@{OTHER_SUFFIX}"),
    "a.amina": _person("Amina", "Diop", "80003", mail=f"a.amina@{OTHER_SUFFIX}"),
    "a.zoe": _person("Zoé", "Éluard", "80004", mail=f"a.zoe@{OTHER_SUFFIX}", cn="Éluard, Zoé (RSSI) #1"),
    "a.paul": _person("Paul", "Derain", "80005", mail=f"a.paul@{OTHER_SUFFIX}", department="SI-12"),
    "a.remi": _person("Rémi", "Dorval", "80006", mail=f"a.remi@{OTHER_SUFFIX}", under=ELSEWHERE),
    "a.lea": _person("Léa", "Dufour", "80007", mail=SHARED_MAIL),
    "a.noa": _person("Noa", "Dufour", "80008", mail=SHARED_MAIL),
}
CAST_GROUPS: dict[str, tuple[str, ...]] = {
    "tilleuls-infirmiers": ("a.claire", "a.zoe", "a.remi", "a.amina"),
    "glycines-infirmiers": ("a.amina",),
    "glycines-nuit": ("a.hugo",),
    "glycines-equipe": ("glycines-nuit",),
    "glycines-aides": ("glycines-equipe",),
}
