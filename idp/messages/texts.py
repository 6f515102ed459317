"""What people read in an SMS or a mail of ours, French first. Pure: purposes and parameters in, words out.

An SMS fits in one part: it is written in the GSM 7-bit alphabet (3GPP TS 23.038) and in 160 characters, for a second part costs as much again. Its
last line binds the code to our host, so that a telephone offers to fill it in there and nowhere else (WICG, origin-bound one-time codes). No mail
holds a link: people learn from us that real ones do not.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
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
    "link_added": {
        "fr": ("Connexion reliée", "Un moyen de vous connecter a été relié à votre compte le {at} :\n\n  {hint}"),
        "en": ("Sign-in linked", "A way to sign in was linked to your account on {at}:\n\n  {hint}"),
    },
    "link_removed": {
        "fr": (
            "Connexion qui n'est plus reliée",
            "Un moyen de vous connecter n'est plus relié à votre compte depuis le {at} :\n\n  {hint}",
        ),
        "en": ("Sign-in unlinked", "A way to sign in is linked to your account no more since {at}:\n\n  {hint}"),
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
    "signin_disowned": {
        "fr": (
            "Connexion signalée",
            "Une connexion à votre compte a été signalée le {at} comme n'étant pas la vôtre. Tout ce qui était ouvert a été fermé, et votre "
            "établissement est prévenu. Choisissez un nouveau mot de passe à la prochaine connexion.",
        ),
        "en": (
            "Sign-in reported",
            "A sign-in to your account was reported on {at} as not being yours. Everything that was open has been closed, and your establishment "
            "has been told. Choose a new password at the next sign-in.",
        ),
    },
    "account_unlocked": {
        "fr": (
            "Compte débloqué",
            "Votre compte, bloqué après plusieurs essais, a été débloqué le {at}. Vous pouvez vous connecter de nouveau.",
        ),
        "en": ("Account unlocked", "Your account, locked after several tries, was unlocked on {at}. You can sign in again."),
    },
    "account_added": {
        "fr": (
            "Compte créé",
            "Un compte a été créé à votre nom le {at}. Votre établissement vous dira comment choisir votre mot de passe.",
        ),
        "en": ("Account created", "An account was made in your name on {at}. Your establishment tells you how to choose your password."),
    },
    "account_corrected": {
        "fr": ("Compte corrigé", "Votre nom, ou la langue de votre compte, a été corrigé par votre établissement le {at}."),
        "en": ("Account corrected", "Your name, or the language of your account, was corrected by your establishment on {at}."),
    },
    "account_suspended": {
        "fr": ("Compte suspendu", "Votre compte a été suspendu le {at} : vous ne pouvez plus vous connecter."),
        "en": ("Account suspended", "Your account was suspended on {at}: you cannot sign in any more."),
    },
    "account_reinstated": {
        "fr": ("Compte rétabli", "Votre compte, qui était suspendu, a été rétabli le {at}. Vous pouvez vous connecter de nouveau."),
        "en": ("Account reinstated", "Your account, which was suspended, was reinstated on {at}. You can sign in again."),
    },
    "contact_changed": {
        "fr": ("Coordonnées modifiées", "L'adresse e-mail ou le téléphone de votre compte a été modifié par votre établissement le {at}."),
        "en": ("Contact details changed", "The e-mail address or the telephone of your account was changed by your establishment on {at}."),
    },
    "sessions_ended": {
        "fr": ("Session fermée", "Votre établissement a fermé le {at} une session, ou toutes les sessions, de votre compte."),
        "en": ("Session closed", "Your establishment closed a session, or all sessions, of your account on {at}."),
    },
    "device_lost": {
        "fr": (
            "Appareil perdu",
            "Un appareil a été signalé perdu le {at} : vos sessions sont fermées, et les moyens de confirmer qu'il portait ne servent plus.",
        ),
        "en": (
            "Device lost",
            "A device was reported lost on {at}: your sessions are closed, and the ways to confirm that were on it no longer work.",
        ),
    },
    "attachment_added": {
        "fr": ("Accès ouvert", "Votre compte a été rattaché à un établissement le {at} :\n\n  {hint}"),
        "en": ("Access opened", "Your account was attached to an establishment on {at}:\n\n  {hint}"),
    },
    "attachment_ended": {
        "fr": ("Accès fermé", "Votre compte n'est plus rattaché à un établissement depuis le {at} :\n\n  {hint}"),
        "en": ("Access closed", "Your account is attached to an establishment no more since {at}:\n\n  {hint}"),
    },
    "role_given": {
        "fr": (
            "Rôle d'administration donné",
            "Un rôle d'administration vous a été donné le {at} :\n\n  {hint}\n\nUn second facteur vous est demandé à chaque connexion.",
        ),
        "en": (
            "Administration role given",
            "A role of administration was given to you on {at}:\n\n  {hint}\n\nA second factor is asked at each sign-in of yours.",
        ),
    },
    "role_taken": {
        "fr": ("Rôle d'administration retiré", "Un rôle d'administration vous a été retiré le {at} :\n\n  {hint}"),
        "en": ("Administration role taken away", "A role of administration was taken from you on {at}:\n\n  {hint}"),
    },
    "pass_issued": {
        "fr": ("Laissez-passer délivré", "Un laissez-passer à usage unique a été délivré pour votre compte le {at}."),
        "en": ("One-time pass issued", "A one-time pass was issued for your account on {at}."),
    },
    # Of a reset: {act} is one of ACTS, {stop} the code that ends it.
    "reset_asked": {
        "fr": ("Réinitialisation demandée", "Le {at}, on a demandé de réinitialiser {act}.\n\n{stop}"),
        "en": ("Reset asked for", "On {at} somebody asked for a reset of {act}.\n\n{stop}"),
    },
    "reset_proven": {
        "fr": (
            "Réinitialisation : vous avez été reconnu(e)",
            "Le {at}, on a noté vous avoir reconnu(e), pour réinitialiser {act}.\n\n{stop}",
        ),
        "en": ("Reset: you were recognised", "On {at} it was noted that you were recognised, to reset {act}.\n\n{stop}"),
    },
    "reset_approved": {
        "fr": ("Réinitialisation approuvée", "Le {at}, une seconde personne a approuvé de réinitialiser {act}.\n\n{stop}"),
        "en": ("Reset approved", "On {at} a second person approved a reset of {act}.\n\n{stop}"),
    },
    "reset_issued": {
        "fr": (
            "Réinitialisation faite",
            "Le {at}, on a réinitialisé {act}. Tout ce qui était ouvert a été fermé. Deux codes vous permettent de continuer : "
            "l'un vous est dit, l'autre vous est envoyé ou remis.\n\n{stop}",
        ),
        "en": (
            "Reset carried out",
            "On {at} there was a reset of {act}. Everything that was open has been closed. Two codes let you go on: one is told to you, "
            "the other is sent or handed to you.\n\n{stop}",
        ),
    },
    "reset_redeemed": {
        "fr": ("Codes de réinitialisation utilisés", "Le {at}, les deux codes ont servi à réinitialiser {act}.\n\n{stop}"),
        "en": ("Reset codes used", "On {at} both codes were used for the reset of {act}.\n\n{stop}"),
    },
    "reset_done": {
        "fr": ("Réinitialisation terminée", "Le {at}, vous avez choisi à nouveau {act}."),
        "en": ("Reset finished", "On {at} you chose anew {act}."),
    },
    "reset_cancelled": {
        "fr": ("Réinitialisation annulée", "Le {at}, on a annulé la demande de réinitialiser {act}."),
        "en": ("Reset cancelled", "On {at} the reset of {act} was cancelled."),
    },
    "reset_stopped": {
        "fr": (
            "Réinitialisation arrêtée",
            "Le {at}, la réinitialisation a été arrêtée avec votre code ({act}). Votre établissement est prévenu.",
        ),
        "en": ("Reset stopped", "On {at} the reset was stopped with your code ({act}). Your establishment has been told."),
    },
    "reset_burnt": {
        "fr": ("Réinitialisation abandonnée", "Le {at}, trop de codes faux ont été tapés : la réinitialisation ne vaut plus rien ({act})."),
        "en": ("Reset given up", "On {at} too many wrong codes were typed: the reset is worth nothing any more ({act})."),
    },
    "reset_misused": {
        "fr": (
            "Réinitialisation : essai refusé",
            "Le {at}, une personne du guichet a essayé d'utiliser vos codes à votre place ({act}). C'est refusé et signalé.\n\n{stop}",
        ),
        "en": (
            "Reset: a try was refused",
            "On {at} somebody of the desk tried to use your codes in your place ({act}). It was refused and reported.\n\n{stop}",
        ),
    },
    "reset_expired": {
        "fr": (
            "Réinitialisation expirée",
            "Depuis le {at}, la demande de réinitialiser {act} ne vaut plus : elle a attendu trop longtemps.",
        ),
        "en": ("Reset expired", "Since {at} the reset of {act} is worth nothing any more: it waited too long."),
    },
}
# What a reset is of.
ACTS: Mapping[str, Mapping[Language, str]] = {
    "password": {"fr": "votre mot de passe", "en": "your password"},
    "factor": {"fr": "votre second facteur", "en": "your second factor"},
    "both": {"fr": "votre mot de passe et votre second facteur", "en": "your password and your second factor"},
}
STOP: Mapping[Language, str] = {
    "fr": "Ce n'est pas vous ? Ouvrez notre page de connexion, « Arrêter une réinitialisation », et tapez : {stop}",
    "en": "It was not you? Open our sign-in page, \u201cStop a reset\u201d, and type: {stop}",
}
RESET_SMS: Mapping[str, Mapping[Language, str]] = {
    "code": {
        "fr": "{code} est la seconde moitié de votre réinitialisation, valable {minutes} minutes. Ne la donnez à personne, guichet compris.",
        "en": "{code} is the second half of your reset, good for {minutes} minutes. Give it to nobody, the desk included.",
    },
    "told": {
        "fr": "Réinitialisation de votre compte : {what}. Pas vous ? Sur notre page de connexion, Arrêter, tapez {stop}",
        "en": "Reset of your account: {what}. Not you? On our sign-in page, Stop, type {stop}",
    },
}
NUMBER_CHANGED_SMS: Mapping[Language, str] = {
    "fr": "{product} : ce numéro n'est plus celui de votre compte. Pas normal ? Appelez votre établissement.",
    "en": "{product}: this number is not your account's any more. Not right? Call your establishment.",
}
# A move, in the few words that an SMS has room for.
RESET_MOVES: Mapping[str, Mapping[Language, str]] = {
    "reset_asked": {"fr": "demandée", "en": "asked for"},
    "reset_proven": {"fr": "identité notée", "en": "identity noted"},
    "reset_approved": {"fr": "approuvée", "en": "approved"},
    "reset_issued": {"fr": "faite", "en": "carried out"},
    "reset_redeemed": {"fr": "codes utilisés", "en": "codes used"},
    "reset_done": {"fr": "terminée", "en": "finished"},
    "reset_cancelled": {"fr": "annulée", "en": "cancelled"},
    "reset_stopped": {"fr": "arrêtée", "en": "stopped"},
    "reset_burnt": {"fr": "abandonnée, trop de codes faux", "en": "given up, too many wrong codes"},
    "reset_misused": {"fr": "essai refusé, guichet", "en": "try refused, desk"},
    "reset_expired": {"fr": "expirée", "en": "expired"},
}
RESET_MAIL: Mapping[Language, tuple[str, str]] = {
    "fr": (
        "{product} : réinitialisation",
        "Voici la seconde moitié de votre réinitialisation :\n\n  {code}\n\nElle vaut {hours}. La première moitié vous est dite par votre "
        "établissement. Ouvrez vous-même la page de connexion, « J'ai deux codes », et tapez les deux. Ne la donnez à personne, pas même au "
        "guichet qui vous aide.\n\n{stop}",
    ),
    "en": (
        "{product}: reset",
        "Here is the second half of your reset:\n\n  {code}\n\nIt is good for {hours}. The first half is told to you by your establishment. "
        "Open the sign-in page yourself, \u201cI have two codes\u201d, and type both. Give it to nobody, not even to the desk that helps you."
        "\n\n{stop}",
    ),
}
# To those who act: a reset waits for them. {place} is an establishment, {minutes} since when.
TO_DESK: Mapping[str, Mapping[Language, tuple[str, str]]] = {
    "reset_own": {
        "fr": (
            "{product} : une personne demande de l'aide",
            "À {place}, une personne demande une réinitialisation et attend qu'on s'occupe d'elle. Sa demande est dans la console, « Demandes ».",
        ),
        "en": (
            "{product}: a person asks for help",
            "At {place} a person asks for a reset and waits for somebody to see to it. Their request is in the console, \u201cRequests\u201d.",
        ),
    },
    "reset_waits": {
        "fr": (
            "{product} : une demande attend",
            "Une demande de réinitialisation attend depuis {minutes} minutes à {place}. Elle est dans la console, « Demandes ».",
        ),
        "en": (
            "{product}: a request waits",
            "A request for a reset has waited for {minutes} minutes at {place}. It is in the console, \u201cRequests\u201d.",
        ),
    },
    "reset_to_approve": {
        "fr": (
            "{product} : une demande attend votre accord",
            "Une demande de réinitialisation de {place} attend l'accord d'une seconde personne. Elle est dans la console, « Demandes » : lisez-la, "
            "appelez l'agent si quelque chose vous étonne, puis approuvez avec votre clé d'accès.",
        ),
        "en": (
            "{product}: a request waits for your approval",
            "A request for a reset at {place} waits for the approval of a second person. It is in the console, \u201cRequests\u201d: read it, call "
            "the agent if anything surprises you, then approve with your passkey.",
        ),
    },
    "reset_stopped": {
        "fr": (
            "{product} : une réinitialisation arrêtée par la personne",
            "À {place}, une personne a arrêté une réinitialisation qu'elle n'avait pas demandée. Appelez-la, puis regardez le journal d'audit.",
        ),
        "en": (
            "{product}: a reset stopped by the person",
            "At {place} a person stopped a reset that they had not asked for. Call them, then look at the audit trail.",
        ),
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
    if "act" in values:
        values["act"] = ACTS[values["act"]][language]
    if "stop" in values:
        values["stop"] = STOP[language].format(stop=values["stop"])
    colon = " :" if language == "fr" else ":"
    body = "\n".join(line.rstrip() for line in sentence.format_map(values).splitlines())
    advice = HELP[language] + (f"{colon} {one_line(contact)}." if contact else ".")
    return _mail(f"{product}{colon} {what}", f"{body}\n\n{advice}\n\n{FOOT[language]}\n", language)


def reset_code_sms(code: str, *, minutes: int, language: Language) -> Words:
    """The SMS of a reset's second half. Bound to no page: it is typed where the other half is."""
    return Words("", gsm(RESET_SMS["code"][language].format(code=code, minutes=minutes)))


def reset_code_mail(code: str, *, product: str, life: timedelta, stop: str, language: Language) -> Words:
    """The mail of a reset's second half; a code, and never a link."""
    subject, text = RESET_MAIL[language]
    minutes = int(life.total_seconds() // 60)
    hours = f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} {'heures' if language == 'fr' else 'hours'}"
    text = text.format(code=code, hours=hours, stop=STOP[language].format(stop=stop))
    return _mail(subject.format(product=product), f"{text}\n\n{FOOT[language]}\n", language)


def number_changed_sms(*, product: str, language: Language) -> Words:
    """The SMS to a number that is not the person's any more, as far as we know."""
    return Words("", gsm(NUMBER_CHANGED_SMS[language].format(product=one_line(product))))


def reset_told_sms(purpose: str, *, stop: str, language: Language) -> Words:
    """The SMS that tells of a move of a reset. KeyError for a purpose that there is not."""
    return Words("", gsm(RESET_SMS["told"][language].format(what=RESET_MOVES[purpose][language], stop=stop)))


def to_desk(purpose: str, *, product: str, place: str, minutes: int, language: Language) -> Words:
    """A mail to whoever acts at the desk. It names an establishment and nobody: the rest is in the console, behind their second factor."""
    subject, text = TO_DESK[purpose][language]
    return _mail(subject.format(product=product), text.format(place=one_line(place), minutes=minutes) + "\n", language)


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
