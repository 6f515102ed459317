"""What the usual profiles are called, in the reader's language; a profile of a deployment's own is called by its code."""

from collections.abc import Callable, Mapping


def profile_name(code: str, _: Callable[[str], str]) -> str:
    """The name of a profile; `_` translates."""
    names: Mapping[str, str] = {
        "aide": _("Care assistant"),
        "nurse": _("Nurse"),
        "doctor": _("Doctor"),
        "coordinating_doctor": _("Coordinating doctor"),
        "psychologist": _("Psychologist"),
        "therapist": _("Therapist"),
        "pharmacist": _("Pharmacist"),
        "activity_leader": _("Activity leader"),
        "administrative": _("Administrative staff"),
        "reception": _("Reception"),
        "manager": _("Manager"),
        "technician": _("Technician"),
        "external": _("External professional"),
        "it": _("IT"),
    }
    return names.get(code, code)
