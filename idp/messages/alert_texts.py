"""What the mails of alerts say, French first. Pure. They hold no link and no secret; names only where the caller gives them."""

from collections.abc import Mapping, Sequence

from idp.config.alerts import AlertKind
from idp.messages.texts import NAME_OF_A_HOST, Language, Words, one_line

ALERTS: Mapping[AlertKind, Mapping[Language, tuple[str, str]]] = {
    "new_device": {
        "fr": ("nouveaux appareils", "Première connexion d'une personne dans un navigateur."),
        "en": ("new devices", "First sign-in of a person in a browser."),
    },
    "spraying": {
        "fr": ("essais de mots de passe en série", "Beaucoup d'identifiants échouent : quelqu'un essaie des mots de passe."),
        "en": ("passwords guessed in series", "Many identifiers fail: somebody is guessing passwords."),
    },
    "disabled_account": {
        "fr": ("compte désactivé", "Connexion refusée à un compte suspendu, fini ou désactivé. Si la personne est partie, appelez-la."),
        "en": (
            "disabled account",
            "Sign-in refused to an account that is suspended, ended or disabled. If the person has left, call them.",
        ),
    },
    "outside_hours": {
        "fr": ("console ouverte hors des heures", "Un administrateur est entré dans la console hors des heures de travail."),
        "en": ("console opened outside hours", "An administrator entered the console outside working hours."),
    },
    "break_glass": {
        "fr": (
            "compte de secours utilisé",
            "Le compte de secours (bris de glace) a servi. Si personne ne l'a décidé, appelez tout de suite.",
        ),
        "en": ("break-glass account used", "The break-glass account was used. If nobody decided so, call at once."),
    },
    "own_agent": {
        "fr": (
            "codes essayés par le guichet",
            "Les deux codes d'une réinitialisation ont été tapés dans le navigateur de la personne du guichet qui l'a faite. C'est refusé.",
        ),
        "en": (
            "codes tried by the desk",
            "Both codes of a reset were typed in the browser of the agent who carried it out. It was refused.",
        ),
    },
    "disowned": {
        "fr": (
            "« ce n'était pas moi »",
            "Une personne dit qu'une connexion à son compte n'est pas la sienne. Tout a été fermé : appelez-la.",
        ),
        "en": ("\u201cthis was not me\u201d", "A person says that a sign-in to their account was not theirs. All was closed: call them."),
    },
    "reset_alarm": {
        "fr": ("réinitialisation arrêtée", "Une réinitialisation a été arrêtée par la personne, ou après trop de codes faux."),
        "en": ("reset stopped", "A reset was stopped by the person, or after too many wrong codes."),
    },
    "many_leave": {
        "fr": (
            "trop de départs à la fois",
            "L'annuaire retire l'accès à trop de personnes à la fois. Elles le gardent tant que personne n'a confirmé dans la console.",
        ),
        "en": (
            "too many leave at once",
            "The directory takes access from too many people at once. They keep it until somebody confirms in the console.",
        ),
    },
    "canary": {
        "fr": (
            "le canari n'est pas passé",
            "Un essai de départ n'est pas allé au bout : une personne désactivée dans l'annuaire peut garder ses accès. Voyez « Coupures ».",
        ),
        "en": (
            "the canary did not come through",
            "A trial departure did not come through: somebody disabled in the directory may keep their access. See \u201cCuts\u201d.",
        ),
    },
}
BODY: Mapping[Language, str] = {
    "fr": "{what}\n\n  Établissement : {place}\n  Nombre : {count}\n  Dernière fois : {at}\n{people}\nLe détail est dans la console, « Audit ».\n",
    "en": "{what}\n\n  Establishment: {place}\n  Count: {count}\n  Last time: {at}\n{people}\nThe details are in the console, \u201cAudit\u201d.\n",
}
PEOPLE: Mapping[Language, str] = {"fr": "  Personnes : {names}\n", "en": "  People: {names}\n"}
NO_PLACE: Mapping[Language, str] = {"fr": "aucun en particulier", "en": "none in particular"}


def alert(kind: AlertKind, *, product: str, place: str, count: int, at: str, names: Sequence[str], language: Language) -> Words:
    """The mail about `count` things of a kind at an establishment ("" for none). `names`: of people; may be empty."""
    subject, what = ALERTS[kind][language]
    shown = ", ".join(NAME_OF_A_HOST.sub(" ", one_line(name)) for name in names)
    people = PEOPLE[language].format(names=shown) if shown else ""
    text = BODY[language].format(what=what, place=one_line(place) or NO_PLACE[language], count=count, at=at, people=people)
    colon = " :" if language == "fr" else ":"
    subject = f"{product}{colon} {subject}"
    if language == "fr":
        text, subject = text.replace(" :", "\u00a0:").replace("'", "’"), subject.replace("'", "’")
    return Words(one_line(subject), text)
