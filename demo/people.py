"""The invented people of the demonstration, in which standing each is, and what they can prove besides their password.

Every name and address is made up; the telephone number is of those that ARCEP keeps for fiction (06 39 98 xx xx).
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum

from policies.acts import DIRECTOR, GROUP_ADMINISTRATOR, IT_CONTACT

PASSWORD = "Merle-Verger-Tricot-48"  # noqa: S105 - printed on the terminal: the demonstration's accounts are refused anywhere else
FIRST_PASSWORD = "Provisoire-Radis-52-Tambour"  # noqa: S105 - the same
LONG_AGO, LAST_MONTH = timedelta(days=400), timedelta(days=30)


class Whereabouts(Enum):
    """Where a visitor of the demonstration is for somebody: its value says so, in French and in English."""

    INSIDE = "Aux Tilleuls, ce poste est dans la maison : mot de passe", "At Les Tilleuls this computer is inside: a password"
    OUTSIDE = "Aux Glycines, il est dehors : une deuxième preuve", "At Les Glycines it is outside: a second proof"
    BOTH = "Dans les deux maisons", "In both homes"
    NOWHERE = "Refusés partout", "Refused everywhere"


@dataclass(frozen=True, slots=True)
class Post:
    """Where somebody works. `ended` says how long ago the last day was."""

    establishment: str
    profile: str
    sector: str = ""
    ended: timedelta | None = None

    def last_day(self, today: date) -> date | None:
        """The last day worked, or None when the post is open."""
        return today - self.ended if self.ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What somebody has enrolled: an authenticator application, a telephone for codes by SMS (E.164), recovery codes on paper."""

    has_application: bool = False
    phone: str = ""
    has_recovery_codes: bool = False


NONE, APPLICATION = Proofs(), Proofs(has_application=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPerson:
    """Somebody of the demonstration. `french` and `english` say what a visitor sees when they sign in."""

    username: str
    given_name: str
    family_name: str
    whereabouts: Whereabouts
    posts: tuple[Post, ...]
    french: str
    english: str
    email: str = ""
    staff_number: str = ""
    proofs: Proofs = NONE
    role: str = ""  # held at the first post, or in the whole group
    is_suspended: bool = False
    must_change: bool = False

    @property
    def password(self) -> str:
        """What to type the first time."""
        return FIRST_PASSWORD if self.must_change else PASSWORD

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.given_name} {self.family_name}"


def _here(username: str, name: tuple[str, str], post: Post, *, says: tuple[str, str], proofs: Proofs = NONE) -> DemoPerson:
    return DemoPerson(
        username=username,
        given_name=name[0],
        family_name=name[1],
        whereabouts=Whereabouts.INSIDE if post.establishment == "tilleuls" else Whereabouts.OUTSIDE,
        posts=(post,),
        french=says[0],
        english=says[1],
        email=f"{username}@{post.establishment}.example",
        proofs=proofs,
    )


PEOPLE: tuple[DemoPerson, ...] = (
    replace(
        _here(
            "claire.dubois",
            ("Claire", "Dubois"),
            Post("tilleuls", "nurse", "Unité Alzheimer"),
            says=("infirmière (aussi 10042) ; un code au dossier sensible", "nurse (also 10042); a code at the sensitive record"),
            proofs=APPLICATION,
        ),
        staff_number="10042",
    ),
    _here(
        "marc.lenoir",
        ("Marc", "Lenoir"),
        Post("tilleuls", "aide", "Unité Alzheimer"),
        says=("aide-soignant, sans deuxième preuve : peut en ajouter une", "care assistant, no second proof: may add one"),
    ),
    _here(
        "sophie.renaud",
        ("Sophie", "Renaud"),
        Post("tilleuls", "coordinating_doctor"),
        says=("médecin coordonnateur", "coordinating doctor"),
    ),
    replace(
        _here(
            "julie.perrin",
            ("Julie", "Perrin"),
            Post("tilleuls", "manager", "Soins"),
            says=("administratrice du groupe : un code, même dans la maison", "group administrator: a code, even inside"),
            proofs=APPLICATION,
        ),
        role=GROUP_ADMINISTRATOR,
    ),
    replace(
        _here(
            "nadia.ferrand",
            ("Nadia", "Ferrand"),
            Post("tilleuls", "it"),
            says=("référente informatique : la console", "IT contact: the console"),
            proofs=APPLICATION,
        ),
        role=IT_CONTACT,
    ),
    replace(
        _here(
            "denis.aubry",
            ("Denis", "Aubry"),
            Post("tilleuls", "manager"),
            says=("directeur : approuve à deux", "director: the second person"),
            proofs=APPLICATION,
        ),
        role=DIRECTOR,
    ),
    _here(
        "odette.vasseur",
        ("Odette", "Vasseur"),
        Post("tilleuls", "reception", "Accueil"),
        says=("accueil", "reception"),
    ),
    DemoPerson(
        username="lea.moreau",
        given_name="Léa",
        family_name="Moreau",
        whereabouts=Whereabouts.INSIDE,
        posts=(Post("tilleuls", "aide"),),
        french="doit changer son mot de passe",
        english="must change her password",
        must_change=True,
    ),
    _here(
        "fatou.diallo",
        ("Fatou", "Diallo"),
        Post("glycines", "aide", "Nuit"),
        says=("aide-soignante de nuit : code de son application", "night care assistant: her application's code"),
        proofs=APPLICATION,
    ),
    _here(
        "thomas.girard",
        ("Thomas", "Girard"),
        Post("glycines", "nurse", "Rez-de-jardin"),
        says=("infirmier : code par SMS", "nurse: a code by SMS"),
        proofs=Proofs(phone="+33639980017", has_recovery_codes=True),
    ),
    _here(
        "helene.morel",
        ("Hélène", "Morel"),
        Post("glycines", "psychologist"),
        says=("psychologue : son code, ou un code de secours", "psychologist: her code, or a recovery code"),
        proofs=Proofs(has_application=True, has_recovery_codes=True),
    ),
    _here(
        "lucas.bernier",
        ("Lucas", "Bernier"),
        Post("glycines", "activity_leader"),
        says=("animateur, sans deuxième preuve : refusé", "activity leader, no second proof: refused"),
    ),
    DemoPerson(
        username="amina.benali",
        given_name="Amina",
        family_name="Benali",
        whereabouts=Whereabouts.BOTH,
        posts=(Post("tilleuls", "nurse", "Nuit"), Post("glycines", "manager", "Soins")),
        french="choisit : rien de plus aux Tilleuls, un code aux Glycines",
        english="chooses: nothing more at one, a code at the other",
        email="amina.benali@groupe.example",
        proofs=APPLICATION,
    ),
    DemoPerson(
        username="ines.roche",
        given_name="Inès",
        family_name="Roche",
        whereabouts=Whereabouts.NOWHERE,
        posts=(Post("glycines", "aide", ended=LAST_MONTH),),
        french="contrat terminé",
        english="contract ended",
    ),
    DemoPerson(
        username="paul.garnier",
        given_name="Paul",
        family_name="Garnier",
        whereabouts=Whereabouts.NOWHERE,
        posts=(Post("tilleuls", "aide"),),
        french="compte suspendu",
        english="account suspended",
        is_suspended=True,
    ),
    DemoPerson(
        username="hugo.lefevre",
        given_name="Hugo",
        family_name="Lefèvre",
        whereabouts=Whereabouts.NOWHERE,
        posts=(),
        french="aucun établissement",
        english="no care home",
    ),
)
