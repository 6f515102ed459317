"""What is known of providers that everybody has: with `preset`, an operator writes only what is their own.

A preset fills in settings that were not written and overrules none that were. Sources of Pro Santé Connect: docs/pro-sante-connect.md.
"""

from collections.abc import Mapping
from typing import Any

PRO_SANTE_CONNECT = "pro-sante-connect"
_REALM = "/auth/realms/esante-wallet"
_HOSTS = {"production": "https://auth.esw.esante.gouv.fr", "sandbox": "https://auth.bas.psc.esante.gouv.fr"}

_CLAIMS: dict[str, Any] = {
    # A national identifier: RPPS behind an 8. The e-mail address that may come with it was typed by the person.
    "username": "SubjectNameID",
    "number": "SubjectNameID",
    "email": None,
    "phone": None,
    "groups": (),
    "roles": (),
    "attributes": (
        "SubjectNameID",
        "SubjectRole",
        "SubjectOrganization",
        "SubjectOrganizationID",
        "Secteur_Activite",
        "Palier_Authentification",
        "SubjectRefPro.codeCivilite",
        "SubjectRefPro.exercices.codeProfession",
        "SubjectRefPro.exercices.codeCategorieProfessionnelle",
        "SubjectRefPro.exercices.codeSavoirFaire",
        "SubjectRefPro.exercices.nomDexercice",
        "SubjectRefPro.exercices.activities.numeroFinessSite",
        "SubjectRefPro.exercices.activities.numeroSiretSite",
    ),
}


def is_pro_sante_connect(issuer: str) -> bool:
    """Whether an issuer is one of Pro Santé Connect's own, whose levels mean what its documentation says."""
    return issuer in {f"{host}{_REALM}" for host in _HOSTS.values()}


def fill_in(written: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as written, with what their preset knows. Raises ValueError for a preset or an environment that is not known."""
    preset, environment = written.get("preset"), written.get("environment")
    if preset is None:
        if environment is not None:
            raise ValueError("`environment` goes with a `preset`")
        return dict(written)
    if preset != PRO_SANTE_CONNECT:
        raise ValueError(f"the presets are: {PRO_SANTE_CONNECT}")
    host = _HOSTS.get(environment or "production") if isinstance(environment or "", str) else None
    if host is None:
        raise ValueError(f"`environment` is one of: {', '.join(_HOSTS)}")
    issuer = str(written.get("issuer", f"{host}{_REALM}"))
    claims = written.get("claims", {})
    known = {
        "issuer": issuer,
        # Keycloak's own document names an authorization endpoint that is not the one to use.
        "metadata_url": f"{issuer}/.well-known/wallet-openid-configuration",
        "scopes": ("openid", "scope_all"),
        # Without acr_values=eidas1 it answers with no level at all.
        "acr_values": ("eidas1",),
        # A CPS with its code, or the e-CPS in a telephone with its code: two factors in either.
        "mfa_acr": ("eidas1",),
        "userinfo": "either",
        "keeps_refresh_token": False,
    }
    filled = known | dict(written)
    filled["claims"] = _CLAIMS | dict(claims) if isinstance(claims, Mapping) else claims
    return filled
