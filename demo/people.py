"""The invented people of the demonstration, and in which standing each is. Every name, number and address is made up."""

from dataclasses import dataclass
from datetime import date, timedelta

PASSWORD = "Merle-Verger-Tricot-48"  # noqa: S105 - printed on the terminal: the demonstration's accounts are refused anywhere else
FIRST_PASSWORD = "Provisoire-Radis-52-Tambour"  # noqa: S105 - the same
LONG_AGO, LAST_MONTH = timedelta(days=400), timedelta(days=30)


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


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Somebody of the demonstration. `french` and `english` say what a visitor sees when they sign in."""

    username: str
    given_name: str
    family_name: str
    posts: tuple[Post, ...]
    french: str
    english: str
    email: str = ""
    staff_number: str = ""
    is_suspended: bool = False
    must_change: bool = False

    @property
    def password(self) -> str:
        """What to type the first time."""
        return FIRST_PASSWORD if self.must_change else PASSWORD


def _here(username: str, name: tuple[str, str], post: Post, *, says: tuple[str, str], staff_number: str = "") -> DemoPerson:
    email = f"{username}@{post.establishment}.example"
    return DemoPerson(username, *name, (post,), *says, email, staff_number)


PEOPLE: tuple[DemoPerson, ...] = (
    _here(
        "claire.dubois",
        ("Claire", "Dubois"),
        Post("tilleuls", "nurse", "Unité Alzheimer"),
        says=("infirmière aux Tilleuls (aussi 10042)", "nurse at Les Tilleuls (also 10042)"),
        staff_number="10042",
    ),
    _here(
        "marc.lenoir",
        ("Marc", "Lenoir"),
        Post("tilleuls", "aide", "Unité Alzheimer"),
        says=("aide-soignant aux Tilleuls", "care assistant, Les Tilleuls"),
    ),
    _here(
        "sophie.renaud",
        ("Sophie", "Renaud"),
        Post("tilleuls", "coordinating_doctor"),
        says=("médecin coordonnateur aux Tilleuls", "coordinating doctor, Les Tilleuls"),
    ),
    _here(
        "julie.perrin",
        ("Julie", "Perrin"),
        Post("tilleuls", "manager", "Soins"),
        says=("cadre de santé aux Tilleuls", "care manager, Les Tilleuls"),
    ),
    _here(
        "odette.vasseur",
        ("Odette", "Vasseur"),
        Post("tilleuls", "reception", "Accueil"),
        says=("accueil des Tilleuls", "reception, Les Tilleuls"),
    ),
    _here(
        "fatou.diallo",
        ("Fatou", "Diallo"),
        Post("glycines", "aide", "Nuit"),
        says=("aide-soignante de nuit aux Glycines", "night care assistant, Les Glycines"),
    ),
    _here(
        "thomas.girard",
        ("Thomas", "Girard"),
        Post("glycines", "nurse", "Rez-de-jardin"),
        says=("infirmier aux Glycines", "nurse, Les Glycines"),
    ),
    _here(
        "helene.morel",
        ("Hélène", "Morel"),
        Post("glycines", "psychologist"),
        says=("psychologue aux Glycines", "psychologist, Les Glycines"),
    ),
    _here(
        "lucas.bernier",
        ("Lucas", "Bernier"),
        Post("glycines", "activity_leader"),
        says=("animateur aux Glycines", "activity leader, Les Glycines"),
    ),
    DemoPerson(
        "amina.benali",
        "Amina",
        "Benali",
        (Post("tilleuls", "nurse", "Nuit"), Post("glycines", "manager", "Soins")),
        "dans les deux maisons : choisit",
        "in both homes: chooses",
        "amina.benali@groupe.example",
    ),
    DemoPerson(
        "lea.moreau",
        "Léa",
        "Moreau",
        (Post("tilleuls", "aide"),),
        "doit changer son mot de passe",
        "must change her password",
        must_change=True,
    ),
    DemoPerson(
        "ines.roche", "Inès", "Roche", (Post("glycines", "aide", ended=LAST_MONTH),), "contrat terminé : refusée", "contract ended: refused"
    ),
    DemoPerson(
        "paul.garnier",
        "Paul",
        "Garnier",
        (Post("tilleuls", "aide"),),
        "compte suspendu : refusé",
        "account suspended: refused",
        is_suspended=True,
    ),
    DemoPerson("hugo.lefevre", "Hugo", "Lefèvre", (), "aucun établissement : refusé", "no care home: refused"),
)
