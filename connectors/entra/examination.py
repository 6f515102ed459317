"""`vestibule connector check` for Entra: each setting tried in the order in which a sign-in needs it, and what to do when it fails.

Speaks to an operator, in plain words; changes nothing. What needs a person (their groups, their MFA) cannot be tried without one.
"""

import re
from collections.abc import Generator, Iterator
from datetime import timedelta
from urllib.parse import urlencode

from connectors.base import CheckStep, Clock, ConnectorError, SourceMisbehaved, SourceUnreachable, Trouble
from connectors.entra.code_flow import SCOPES, CodeFlow
from connectors.entra.credential import WARNS_BEFORE, Credential, read_credential
from connectors.entra.metadata import Publications
from connectors.entra.refusals import WHAT_TO_DO, code_of, error_of
from connectors.entra.settings import EntraSettings
from connectors.entra.wire import Answer, Wire

MOST_DRIFT = timedelta(seconds=60)
ADVICE: dict[Trouble, str] = {
    "refused": "Is the address right, and may this machine reach it (DNS, firewall, `proxy`)?",
    "timeout": "It did not answer in time: check the firewall between (it may drop packets), and `proxy`.",
    "closed": "It closed the connection: something between may inspect it.",
    "tls_untrusted": "The certificate is not signed by an authority that we know: does a proxy open the connection? Then its authority goes"
    " in `ca_file`.",
    "tls_name": "The certificate is for another host: check the address, or whether a proxy opens the connection.",
    "tls_expired": "The certificate is outside its dates: check this machine's clock.",
    "tls_failed": "TLS cannot be agreed: something between may not let it through.",
    "unavailable": "Microsoft answers that it cannot answer now: try again in a while, and look at the state of its services.",
    "service_account": "",
}


def examine(
    settings: EntraSettings,
    entra: Wire,
    graph: Wire,
    *,
    publications: Publications,
    flow: CodeFlow,
    clock: Clock,
    callback_url: str | None,
) -> Iterator[CheckStep]:
    """Step by step. Raises nothing of the family."""
    yield from _credential(settings, clock)
    is_reached = yield from _published(settings, entra, publications, clock=clock)
    if not is_reached:
        return
    for tenant in settings.tenants:
        yield from _tenant(settings, tenant, entra, flow=flow)
    if callback_url is not None:
        yield _redirect_uri(settings, entra, publications, callback_url=callback_url)
    yield _graph(settings, graph)
    if settings.mfa_context is None:
        words = "`mfa_context` is null: what Entra proves counts as one factor, and a rule that wants two asks for another here"
        yield CheckStep(title="Two factors", outcome="warning", explanation=words)
    else:
        words = f"asked by the authentication context {settings.mfa_context}: only a person's sign-in can show that Entra gives it (acrs)"
        yield CheckStep(title="Two factors", outcome="ok", explanation=words)


def _credential(settings: EntraSettings, clock: Clock) -> Iterator[CheckStep]:
    try:
        credential = read_credential(settings)
    except SourceUnreachable as error:
        yield CheckStep(title="Our credential", outcome="failed", explanation=error.detail)
        return
    yield _end_of(credential, clock)


def _end_of(credential: Credential, clock: Clock) -> CheckStep:
    title = f"Our {credential.kind}"
    if credential.ends_at is None:
        say = "its end is not known: write the day that Entra shows in `client_secret_expires`, or sign-ins will stop without a warning"
        return CheckStep(title=title, outcome="warning", explanation=say)
    left = credential.ends_at - clock.now()
    day = f"{credential.ends_at:%Y-%m-%d}"
    if left <= timedelta(0):
        return CheckStep(title=title, outcome="failed", explanation=f"ended on {day}: make another in Entra (Certificates & secrets)")
    if left <= WARNS_BEFORE:
        say = f"ends on {day}, in {left.days} days: make another in Entra (Certificates & secrets) and replace it here before"
        return CheckStep(title=title, outcome="warning", explanation=say)
    return CheckStep(title=title, outcome="ok", explanation=f"until {day}, {left.days} days left")


def _published(settings: EntraSettings, entra: Wire, publications: Publications, *, clock: Clock) -> Generator[CheckStep, None, bool]:
    """Whether the rest can be tried."""
    where = f"{publications.authority}/v2.0/.well-known/openid-configuration"
    try:
        answer = entra.get(where)
    except ConnectorError as error:
        yield _failed(settings.authority, error)
        return False
    yield CheckStep(title=settings.authority, outcome="ok", explanation="answered over a trusted connection")
    yield from _clock(answer, clock)
    if answer.status >= 400:
        yield CheckStep(title="Tenant", outcome="failed", explanation=_said(answer))
        return False
    try:
        publications.metadata()
        keys = publications.keys().get("keys")
    except ConnectorError as error:
        yield _failed("What Entra publishes", error)
        return False
    count = len(keys) if isinstance(keys, list) else 0
    yield CheckStep(title="What Entra publishes", outcome="ok" if count else "failed", explanation=f"its endpoints, and {count} keys")
    return count > 0


def _clock(answer: Answer, clock: Clock) -> Iterator[CheckStep]:
    if answer.said_at is None:
        return
    drift = clock.now() - answer.said_at
    if abs(drift) > MOST_DRIFT:
        seconds = int(abs(drift).total_seconds())
        which = "ahead of" if drift > timedelta(0) else "behind"
        say = f"this machine is {seconds} s {which} Microsoft: tokens will look expired or not yet valid; set up time synchronisation (NTP)"
        yield CheckStep(title="Clock", outcome="failed", explanation=say)
    else:
        yield CheckStep(title="Clock", outcome="ok", explanation="agrees with Microsoft's")


def _tenant(settings: EntraSettings, tenant: str, entra: Wire, *, flow: CodeFlow) -> Iterator[CheckStep]:
    """That it is there, and takes our credential."""
    title = f"Tenant {tenant}"
    try:
        answer = entra.get(f"{settings.authority}/{tenant}/v2.0/.well-known/openid-configuration")
        if answer.status >= 400:
            yield CheckStep(title=title, outcome="failed", explanation=_said(answer))
            return
        refused = flow.rehearse(tenant)
    except ConnectorError as error:
        yield _failed(title, error)
        return
    if "error" not in refused:
        yield CheckStep(title=title, outcome="ok", explanation="knows our application and takes its credential")
        return
    code = code_of(refused)
    advice = WHAT_TO_DO.get(code or 0, "Look for the number in Microsoft's list of AADSTS codes.")
    say = f"{error_of(refused)}{f', AADSTS{code}' if code else ''}. {advice}"
    yield CheckStep(title=title, outcome="failed", explanation=say)


def _redirect_uri(settings: EntraSettings, entra: Wire, publications: Publications, *, callback_url: str) -> CheckStep:
    """Entra sends the browser back only to what is registered; else it shows a page with the number of the error."""
    query = {
        "client_id": settings.client_id,
        "response_type": "code",
        "redirect_uri": callback_url,
        "response_mode": "query",
        "scope": f"openid {' '.join(SCOPES)}",
        "prompt": "none",
        "state": "check",
        "nonce": "check",
    }
    title = "Redirect URI"
    try:
        _, location, text = entra.look(f"{publications.authority}/oauth2/v2.0/authorize?{urlencode(query)}")
    except ConnectorError as error:
        return _failed(title, error)
    if location.startswith(callback_url):
        return CheckStep(title=title, outcome="ok", explanation=f"{callback_url} is registered")
    found = re.search(r"AADSTS(\d{3,8})", text)
    if found is None:
        say = f"could not be tried: make sure that {callback_url} is registered (Authentication, Web)"
        return CheckStep(title=title, outcome="warning", explanation=say)
    say = f"AADSTS{found[1]}. {WHAT_TO_DO.get(int(found[1]), '')} It is {callback_url}"
    return CheckStep(title=title, outcome="failed", explanation=say)


def _graph(settings: EntraSettings, graph: Wire) -> CheckStep:
    try:
        answer = graph.get(f"{settings.graph}/me")
    except ConnectorError as error:
        return _failed(settings.graph, error)
    if answer.status != 401:
        say = f"answered {answer.status} where it should have asked for a token: check `graph`"
        return CheckStep(title=settings.graph, outcome="failed", explanation=say)
    return CheckStep(
        title=settings.graph, outcome="ok", explanation="answered over a trusted connection; what it tells needs a person's sign-in"
    )


def _said(answer: Answer) -> str:
    code = code_of(answer.body)
    if code is not None and code in WHAT_TO_DO:
        return f"AADSTS{code}. {WHAT_TO_DO[code]}"
    return f"answered {answer.status}{f', AADSTS{code}' if code else ''}: check `tenants` and `authority`"


def _failed(title: str, error: ConnectorError) -> CheckStep:
    advice = ADVICE.get(error.trouble, "") if isinstance(error, SourceUnreachable) else ""
    if isinstance(error, SourceMisbehaved):
        advice = "Is it really Microsoft that answers there? Check `authority` and `graph`, and whether a proxy puts a page of its own in between."
    return CheckStep(title=title, outcome="failed", explanation=f"{error.detail}. {advice}".strip())
