"""Who and what every test world holds: two establishments, people in every standing, clients of every kind.

Written straight into the store, so that a test of one room does not need another room's commands. Passwords are all PASSWORD.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from joserfc.jwk import ECKey

from idp.clock import Clock
from idp.config import ClientSettings
from idp.crypto import digest
from idp.store.base import Account, Attachment, Establishment, Zone
from idp.store.database import Transaction

PASSWORD = "Lavande-Tramway-62-Girafe"
# A test browser is at Les Tilleuls unless it says otherwise. One address is never in two establishments.
AT_TILLEULS = "127.0.0.1"
AT_GLYCINES = "127.0.0.2"
LANS = {"tilleuls": AT_TILLEULS, "glycines": AT_GLYCINES}
OUTSIDE = "198.51.100.7"
NETWORKS = {"tilleuls": (f"{AT_TILLEULS}/32", "::1/128", "10.20.0.0/17"), "glycines": (f"{AT_GLYCINES}/32", "10.20.128.0/17")}
PARIS = ZoneInfo("Europe/Paris")
KNOWN_FOR = timedelta(days=30)  # at the world's first instant: the desk relies on no address of an account that was made lately


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the cast. `attachments` are (slug, profile, sector, first day, last day), days counted from the world's first day."""

    key: str
    username: str
    given_name: str
    family_name: str
    attachments: tuple[tuple[str, str, str | None, int | None, int | None], ...] = ()
    email: str | None = None
    number: str | None = None  # staff number, at the first attachment's establishment
    status: str = "active"
    must_change: bool = False
    has_password: bool = True


ESTABLISHMENTS: tuple[dict[str, str], ...] = (
    {
        "slug": "tilleuls",
        "name": "Les Tilleuls",
        "finess": "690012345",
        "siret": "12345678200010",
        "contact_name": "Nadia Ferrand, informatique",
        "contact_phone": "04 00 00 01 23",
        "contact_email": "informatique@tilleuls.example",
    },
    {
        "slug": "glycines",
        "name": "Les Glycines",
        "finess": "690054321",
        "siret": "98765432100021",
        "contact_name": "Yann Le Goff, accueil",
        "contact_phone": "04 00 00 04 56",
        "contact_email": "accueil@glycines.example",
    },
)

PEOPLE: tuple[Person, ...] = (
    Person(
        "claire",
        "claire.dubois",
        "Claire",
        "Dubois",
        (("tilleuls", "nurse", "Unité Alzheimer", None, None),),
        "claire.dubois@tilleuls.example",
        "10042",
    ),
    Person(
        "amina",
        "amina.benali",
        "Amina",
        "Benali",
        (("tilleuls", "nurse", "Nuit", None, None), ("glycines", "manager", None, None, None)),
        "amina.benali@groupe.example",
    ),
    Person("hugo", "hugo.lefevre", "Hugo", "Lefèvre"),  # no attachment
    Person(
        "paul",
        "paul.garnier",
        "Paul",
        "Garnier",
        (("tilleuls", "aide", None, None, None),),
        "paul.garnier@tilleuls.example",
        status="suspended",
    ),
    Person("lea", "lea.moreau", "Léa", "Moreau", (("glycines", "aide", "Rez-de-jardin", None, None),), must_change=True),
    Person("ines", "ines.roche", "Inès", "Roche", (("glycines", "aide", None, -90, -2),)),  # contract ended
    Person("nora", "nora.blanc", "Nora", "Blanc", (("glycines", "aide", "Nuit", -90, -1),)),  # last night shift: until noon today
    Person("tom", "tom.petit", "Tom", "Petit", (("tilleuls", "aide", None, 7, None),)),  # begins next week
    Person("karim", "karim.haddad", "Karim", "Haddad", (("glycines", "doctor", None, None, None),), "karim.haddad@glycines.example"),
    Person("rose", "rose.marchand", "Rose", "Marchand", (("tilleuls", "administrative", "Accueil", None, None),), number="10077"),
    Person("sam", "sam.olivier", "Sam", "Olivier", (("tilleuls", "aide", None, None, None),), has_password=False),
)


@dataclass(frozen=True, slots=True)
class Registered:
    """A client of the world with what only the application knows."""

    settings: ClientSettings
    secret: str | None = None
    key: ECKey | None = None

    @property
    def client_id(self) -> str:
        """Its identifier."""
        return self.settings.client_id

    @property
    def redirect_uri(self) -> str:
        """Its first redirect URI."""
        return self.settings.redirect_uris[0]


ALL_GRANTS = ("authorization_code", "refresh_token", "client_credentials")
ALL_SCOPES = ("openid", "profile", "email", "phone", "address", "offline_access", "establishment", "establishments")


def clients(clock: Clock, listener_url: str) -> dict[str, Registered]:
    """The clients by key:

    carnet (basic, PKCE, every grant and scope, back-channel), ancien (basic, PKCE optional), envoi (post), tablette (public, web),
    bureau (public, native loopback), curieux (asks consent), signataire (private_key_jwt), autre (a second confidential client with
    back-channel logout), glycines (open to one establishment), medecins (open to one profile).
    """
    key = ECKey.generate_key("P-256", {"kid": "signataire-1", "use": "sig", "alg": "ES256"}, private=True)
    web: dict[str, Any] = {"grant_types": ("authorization_code", "refresh_token"), "scopes": ALL_SCOPES}
    registrations: tuple[tuple[str, dict[str, Any]], ...] = (
        (
            "carnet",
            {
                **web,
                "name": "Carnet de soins",
                "grant_types": ALL_GRANTS,
                "post_logout_redirect_uris": ("https://carnet.example/au-revoir",),
                "backchannel_logout_uri": f"{listener_url}/carnet",
                "resources": ("https://api.carnet.example", "https://archives.example"),
                "audiences": ("https://connexion.example",),
            },
        ),
        (
            "ancien",
            {**web, "name": "Ancien logiciel", "require_pkce": False, "post_logout_redirect_uris": ("https://ancien.example/au-revoir",)},
        ),
        ("envoi", {**web, "name": "Envoi", "token_endpoint_auth_method": "client_secret_post"}),
        ("tablette", {**web, "name": "Tablette", "token_endpoint_auth_method": "none"}),
        (
            "bureau",
            {
                **web,
                "name": "Bureau",
                "token_endpoint_auth_method": "none",
                "application_type": "native",
                "redirect_uris": ("http://127.0.0.1/retour", "http://[::1]/retour", "example.bureau:/retour"),
            },
        ),
        ("curieux", {**web, "name": "Curieux", "require_consent": True}),
        (
            "signataire",
            {
                **web,
                "name": "Signataire",
                "grant_types": ALL_GRANTS,
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks": {"keys": [key.as_dict(private=False)]},
                "id_token_signed_response_alg": "ES256",
                "access_token_signed_response_alg": "RS256",
            },
        ),
        ("autre", {**web, "name": "Autre", "backchannel_logout_uri": f"{listener_url}/autre"}),
        ("glycines", {**web, "name": "Glycines seulement", "establishments": ("glycines",), "default_establishment": "glycines"}),
        ("medecins", {**web, "name": "Médecins seulement", "profiles": ("doctor",)}),
    )
    found: dict[str, Registered] = {}
    for name, values in registrations:
        settings = ClientSettings.model_validate({"client_id": name, "redirect_uris": (f"https://{name}.example/retour",), **values})
        has_secret = settings.token_endpoint_auth_method.startswith("client_secret")
        found[name] = Registered(
            settings, clock.new_token() if has_secret else None, key if settings.token_endpoint_auth_method == "private_key_jwt" else None
        )
    return found


def settle(tx: Transaction, clock: Clock, *, registered: Mapping[str, Registered], password_hash: str) -> None:
    """Write the whole cast into an empty, migrated database."""
    now = clock.now()
    places = {values["slug"]: clock.new_id() for values in ESTABLISHMENTS}
    for values in ESTABLISHMENTS:
        tx.establishments.add(
            Establishment(
                id=places[values["slug"]], time_zone=PARIS.key, logo_type=None, source="operator", created_at=now, ended_at=None, **values
            )
        )
        tx.zones.add(_zone(clock.new_id(), places[values["slug"]], NETWORKS[values["slug"]], now=now))
    tx.revisions.advance("zones")
    for person in PEOPLE:
        account_id = clock.new_id()
        tx.people.add(_account(account_id, person, now), found_by=_found_by(person, places))
        if person.has_password:
            tx.people.set_password(account_id, password_hash, must_change=person.must_change, now=now)
        for slug, profile, sector, first, last in person.attachments:
            tx.people.attach(_attachment(clock.new_id(), account_id, places[slug], now=now, what=(profile, sector, first, last)))
    for client in registered.values():
        tx.clients.put(client.settings, secret_digest=digest(client.secret) if client.secret else None, source="operator", now=now)


def _zone(zone_id: str, establishment_id: str, networks: tuple[str, ...], *, now: datetime) -> Zone:
    return Zone(
        id=zone_id,
        establishment_id=establishment_id,
        name="lan",
        kind="trusted",
        networks=networks,
        is_egress=False,
        guests_apart="",
        first_day=None,
        last_day=None,
        valid_from=None,
        valid_until=None,
        source="operator",
        created_at=now,
        ended_at=None,
    )


def _account(account_id: str, person: Person, now: datetime) -> Account:
    return Account(
        id=account_id,
        status=person.status,  # type: ignore[arg-type]  # the cast only uses the three statuses
        username=person.username,
        given_name=person.given_name,
        family_name=person.family_name,
        email=person.email,
        email_verified=person.email is not None,
        phone_number="+33600000042" if person.key == "claire" else None,
        phone_number_verified=False,
        address={"street_address": "3 rue des Écoles", "postal_code": "69000", "locality": "Lyon", "country": "France"}
        if person.key == "claire"
        else None,
        locale="fr-FR",
        is_demo=False,
        last_establishment_id=None,
        created_at=now - KNOWN_FOR,
        updated_at=now,
        ended_at=None,
    )


def _found_by(person: Person, places: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    found = [("username", person.username, "")]
    if person.email:
        found.append(("email", person.email, ""))
    if person.number:
        found.append(("number", person.number, places[person.attachments[0][0]]))
    return tuple(found)


def _attachment(
    attachment_id: str, account_id: str, establishment_id: str, *, now: datetime, what: tuple[str, str | None, int | None, int | None]
) -> Attachment:
    profile, sector, first, last = what
    today = now.astimezone(PARIS).date()
    first_day = None if first is None else today + timedelta(days=first)
    last_day = None if last is None else today + timedelta(days=last)
    return Attachment(
        id=attachment_id,
        account_id=account_id,
        establishment_id=establishment_id,
        profile=profile,
        sector=sector,
        first_day=first_day,
        last_day=last_day,
        valid_from=_instant(first_day, time(0)),
        # Noon of the day after the last one, as the program itself reckons.
        valid_until=_instant(last_day and last_day + timedelta(days=1), time(12)),
        created_at=now,
        ended_at=None,
    )


def _instant(day: date | None, at: time) -> datetime | None:
    return datetime.combine(day, at, PARIS).astimezone(UTC) if day else None
