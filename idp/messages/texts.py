"""What people read in an SMS or a mail of ours, French first. Pure: purposes and parameters in, words out.

An SMS fits in one part: it is written in the GSM 7-bit alphabet (3GPP TS 23.038) and in 160 characters, for a second part costs as much again. Its
last line binds the code to our host, so that a telephone offers to fill it in there and nowhere else (WICG, origin-bound one-time codes). No mail
holds a link: people learn from us that real ones do not.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Language = Literal["fr", "en"]
GSM = frozenset(
    "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
LONGEST_SMS = 160
LONGEST_WORD = 80
# Programs that show mail make a link of anything like a host's name. Dots of version numbers stay.
NAME_OF_A_HOST = re.compile(r"@|[.\u3002\uff0e\uff61](?![0-9])")


@dataclass(frozen=True, slots=True)
class Words:
    """A mail, or an SMS (no subject)."""

    subject: str
    text: str


# Of a notice: what happened, as a subject and as a sentence. {kind}, {hint}, {browser} and {at} are the parameters; {product} is ours.
NOTICES: Mapping[str, Mapping[Language, tuple[str, str]]] = {
    "new_device": {
        "fr": (
            "Connexion depuis un nouvel appareil",
            "Votre compte vient de servir pour la première fois sur cet appareil :\n\n  {browser}\n  le {at}",
        ),
        "en": ("Sign-in from a new device", "Your account was used on this device for the first time:\n\n  {browser}\n  on {at}"),
    },
    "factor_added": {
        "fr": ("Second facteur ajouté", "Un moyen de confirmer vos connexions a été ajouté à votre compte le {at} :\n\n  {kind} {hint}"),
        "en": ("Second factor added", "A way to confirm your sign-ins was added to your account on {at}:\n\n  {kind} {hint}"),
    },
    "factor_removed": {
        "fr": ("Second facteur retiré", "Un moyen de confirmer vos connexions a été retiré de votre compte le {at} :\n\n  {kind} {hint}"),
        "en": ("Second factor removed", "A way to confirm your sign-ins was removed from your account on {at}:\n\n  {kind} {hint}"),
    },
    "recovery_codes_renewed": {
        "fr": (
            "Nouveaux codes de secours",
            "De nouveaux codes de secours ont été créés pour votre compte le {at}. Les anciens ne servent plus.",
        ),
        "en": ("New recovery codes", "New recovery codes were made for your account on {at}. The earlier ones no longer work."),
    },
    "recovery_code_used": {
        "fr": ("Code de secours utilisé", "Un de vos codes de secours a servi à vous connecter le {at}."),
        "en": ("Recovery code used", "One of your recovery codes was used to sign in on {at}."),
    },
    "password_changed": {
        "fr": ("Mot de passe modifié", "Le mot de passe de votre compte a été modifié le {at}."),
        "en": ("Password changed", "The password of your account was changed on {at}."),
    },
    "account_unlocked": {
        "fr": (
            "Compte débloqué",
            "Votre compte, bloqué après plusieurs essais, a été débloqué le {at}. Vous pouvez vous connecter de nouveau.",
        ),
        "en": ("Account unlocked", "Your account, locked after several tries, was unlocked on {at}. You can sign in again."),
    },
    "pass_issued": {
        "fr": ("Laissez-passer délivré", "Un laissez-passer à usage unique a été délivré pour votre compte le {at}."),
        "en": ("One-time pass issued", "A one-time pass was issued for your account on {at}."),
    },
}
KINDS: Mapping[str, Mapping[Language, str]] = {
    "totp": {"fr": "application d'authentification", "en": "authenticator application"},
    "passkey": {"fr": "clé d'accès (passkey)", "en": "passkey"},
    "sms": {"fr": "code par SMS", "en": "code by SMS"},
    "email": {"fr": "code par e-mail", "en": "code by e-mail"},
    "recovery": {"fr": "codes de secours", "en": "recovery codes"},
}
SMS: Mapping[Language, str] = {
    "fr": "{code} est votre code{product}, valable {minutes} minutes. Ne le donnez à personne, support et collègues compris.",
    "en": "{code} is your{product} code, good for {minutes} minutes. Give it to nobody, support and colleagues included.",
}
MAIL: Mapping[Language, tuple[str, str]] = {
    "fr": (
        "{product} : votre code",
        "Votre code {product} :\n\n  {code}\n\nIl est valable {minutes} minutes et sert une fois. Ne le donnez à personne.\n"
        "Si vous n'avez rien demandé, quelqu'un connaît peut-être votre mot de passe : changez-le et prévenez votre établissement.",
    ),
    "en": (
        "{product}: your code",
        "Your {product} code:\n\n  {code}\n\nIt is good for {minutes} minutes and works once. Give it to nobody.\n"
        "If you did not ask for it, somebody may know your password: change it and tell your establishment.",
    ),
}
TRIAL: Mapping[Language, tuple[str, str]] = {
    "fr": ("{product} : essai", "Essai de {product} : ce message vous est bien parvenu."),
    "en": ("{product}: test", "Test of {product}: this message has reached you."),
}
HELP: Mapping[Language, str] = {
    "fr": "Si c'est bien vous, vous n'avez rien à faire.\nSinon, prévenez tout de suite votre établissement",
    "en": "If this was you, there is nothing to do.\nIf not, tell your establishment at once",
}
FOOT: Mapping[Language, str] = {
    "fr": "Ce message est automatique : n'y répondez pas. Nous ne vous demanderons jamais un mot de passe ni un code par e-mail ou par téléphone.",
    "en": "This message is automatic: do not reply. We never ask for a password or a code by e-mail or telephone.",
}


def code_sms(code: str, *, product: str, host: str, minutes: int, language: Language) -> Words:
    """The SMS of a one-time code, in one part whatever we are called: the product's name goes first, then the binding to our host."""
    bound = f"\n@{host} #{code}"
    named = gsm(SMS[language].format(code=code, product=f" {product}", minutes=minutes))
    short = gsm(SMS[language].format(code=code, product="", minutes=minutes))
    fitting = (text for text in (named + bound, short + bound) if len(text) <= LONGEST_SMS)
    return Words("", next(fitting, short))


def code_mail(code: str, *, product: str, minutes: int, language: Language) -> Words:
    """The mail of a one-time code. The subject does not hold it: it would show on a locked screen."""
    subject, text = MAIL[language]
    text = text.format(code=code, product=one_line(product), minutes=minutes)
    return _mail(subject.format(product=product), f"{text}\n\n{FOOT[language]}\n", language)


def notice(purpose: str, parameters: Mapping[str, str], *, product: str, contact: str, language: Language) -> Words:
    """The mail that tells of a change. KeyError for a purpose or a parameter that there is not. `contact` says who to call; may be empty."""
    what, sentence = NOTICES[purpose][language]
    values = {name: one_line(value) for name, value in parameters.items()}
    if "browser" in values:
        values["browser"] = NAME_OF_A_HOST.sub(" ", values["browser"])
    if "kind" in values:
        values["kind"] = KINDS[values["kind"]][language]
    colon = " :" if language == "fr" else ":"
    body = "\n".join(line.rstrip() for line in sentence.format_map(values).splitlines())
    advice = HELP[language] + (f"{colon} {one_line(contact)}." if contact else ".")
    return _mail(f"{product}{colon} {what}", f"{body}\n\n{advice}\n\n{FOOT[language]}\n", language)


def trial(channel: Literal["sms", "email"], *, product: str, language: Language) -> Words:
    """What an operator sends to see whether it arrives."""
    subject, text = TRIAL[language]
    text = text.format(product=one_line(product))
    return Words("", gsm(text)) if channel == "sms" else _mail(subject.format(product=product), f"{text}\n", language)


def one_line(text: str) -> str:
    """What a person or a browser said of itself, fit to stand in a sentence: one short line without control characters or links."""
    visible = "".join(character if unicodedata.category(character)[0] not in "CZ" else " " for character in text)
    return " ".join(visible.replace("://", " ").split())[:LONGEST_WORD]


def gsm(text: str) -> str:
    """In the alphabet of SMS: letters that it lacks lose their accents, anything else becomes a space."""
    return "".join(character if character in GSM else _nearest(character) for character in text)


def _mail(subject: str, text: str, language: Language) -> Words:
    if language == "fr":
        # As French is set: no line begins with its colon.
        text = text.replace(" :", "\u00a0:").replace("'", "’")
        subject = subject.replace("'", "’")
    return Words(one_line(subject), text)


def _nearest(character: str) -> str:
    if character in "’‘":
        return "'"
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    return plain if plain and all(part in GSM for part in plain) else " "
