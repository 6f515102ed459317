"""What is wrong with how people are to be reached: rules between the settings of `sms` and `mail`. Pure; yields Findings."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connectors.sms.settings import SmsHttpSettings
from connectors.sms.template import problems
from idp.config.findings import Finding
from idp.config.values import is_loopback_host

if TYPE_CHECKING:
    from idp.config.models import Config


def check_messages(config: "Config") -> Iterable[Finding]:
    """Every rule about `sms` and `mail`."""
    sms = config.sms
    if sms.http is not None and sms.file is not None:
        yield Finding("error", "sms.file", "is instead of sms.http, not beside it")
    if sms.file is not None and not config.is_loopback:
        yield Finding("error", "sms.file", "codes in a file are for demonstrations: only for an issuer on this machine")
    if sms.http is not None:
        yield from _check_http(sms.http)
        if not sms.price and (sms.monthly_cap is not None or sms.monthly_cap_establishment is not None):
            yield Finding("warning", "sms.price", "is nothing, so the monthly cap counts nothing")
    if sms.monthly_cap is not None and (sms.monthly_cap_establishment or 0) > sms.monthly_cap:
        yield Finding("warning", "sms.monthly_cap_establishment", "is more than sms.monthly_cap, which is reached first")
    yield from _check_mail(config)


def _check_http(http: SmsHttpSettings) -> Iterable[Finding]:
    at = "sms.http"
    try:
        url = urlsplit(http.url)
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        yield Finding("error", f"{at}.url", "is not a URL")
        return
    if url.scheme not in {"https", "http"} or not host or "{" in url.netloc or url.username is not None:
        yield Finding("error", f"{at}.url", "must be a URL such as https://sms.example.fr/send, with a fixed host and no login in it")
    elif url.scheme == "http" and not is_loopback_host(host):
        yield Finding("error", f"{at}.url", "must use https: codes and numbers go through it")
    for path, message in problems(http):
        yield Finding("error", f"{at}.{path}", message)
    if http.success.pattern is not None:
        try:
            re.compile(http.success.pattern)
        except re.error as error:
            yield Finding("error", f"{at}.success.pattern", f"is not a regular expression: {error}")
    if not http.success.statuses:
        yield Finding("error", f"{at}.success.statuses", "at least one is needed")
    if http.ca_file is not None and not http.ca_file.is_file():
        yield Finding("error", f"{at}.ca_file", f"cannot read {http.ca_file}")


def _check_mail(config: "Config") -> Iterable[Finding]:
    mail = config.mail
    if mail.host is None:
        return
    if mail.sender is None:
        yield Finding("error", "mail.sender", "is needed: the address that mail comes from")
    if mail.security == "none" and not is_loopback_host(mail.host):
        yield Finding("error", "mail.security", "none is only for a server on this machine: codes would go over the network in clear")
    if (mail.username is None) != (mail.password is None):
        yield Finding("error", "mail.password" if mail.password is None else "mail.username", "a login is a username and a password")
    if mail.security == "none" and mail.username is not None:
        yield Finding("error", "mail.username", "a password is never said without TLS")
    if (mail.port, mail.security) in {(465, "starttls"), (587, "tls"), (25, "tls")}:
        yield Finding("warning", "mail.port", f"{mail.port} does not go with {mail.security}: 587 is for starttls, 465 for tls")
    if mail.ca_file is not None and not mail.ca_file.is_file():
        yield Finding("error", "mail.ca_file", f"cannot read {mail.ca_file}")
