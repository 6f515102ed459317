"""What the settings of resets say of the rest of the file: establishments and sources that are there, and mail where it is counted on."""

from collections.abc import Iterable, Mapping

from idp.config.findings import Finding
from idp.config.resets import ResetSettings

LOCAL = "local"


def check_resets(
    settings: ResetSettings, *, known: Mapping[str, frozenset[str]], directories: Iterable[str], has_mail: bool
) -> Iterable[Finding]:
    """`known`: what there is, by kind; a kind that is not there may have been added by command."""
    sources = {LOCAL, *directories}
    for index, one in enumerate(settings.modes):
        at = f"resets.modes[{index}]"
        if one.establishment is not None and one.establishment not in known.get("establishment", {one.establishment}):
            yield Finding("error", f"{at}.establishment", f"there is no establishment {one.establishment}")
        if one.source is not None and one.source not in sources:
            yield Finding("error", f"{at}.source", f"{one.source} is neither local nor a directory: a provider's passwords are reset there")
        if one.mode != "admin" and not has_mail:
            yield Finding(
                "warning", f"{at}.mode", "no mail server is set (mail.host): people cannot be told, nor sent the second code by e-mail"
            )
