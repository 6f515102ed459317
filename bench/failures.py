"""Do sign-in failures take alike? Times the POST of the sign-in form for each way of failing, one at a time.

One connection, the kinds interleaved at random, so that drift of the machine falls on all of them.
A kind is a name and people whose sign-in fails that way; people take turns, to stay below any lockout.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import urlencode

from bench.browser import Browser, next_form
from bench.load import Flow, FlowError, drive
from bench.statistic import histogram, percentile
from bench.subject import Subject

WRONG_PASSWORD = "ce n'est pas le bon"
# A verifier nobody redeems: only the shape matters here (RFC 7636 section 4.2).
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@dataclass(frozen=True, slots=True)
class FailureTimes:
    """How one kind of failure went: milliseconds of each answer, and how often each (status, body length) was seen."""

    kind: str
    milliseconds: tuple[float, ...]
    answers: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """This kind as it is kept in the result file."""
        return asdict(self)


def _attempt(subject: Subject, identifier: str, record: Callable[[float, int, int], None]) -> Flow:
    browser = Browser(subject.host)
    client = subject.client
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": "openid",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    request = browser.open(f"{subject.endpoints.authorize}?{urlencode(parameters)}")
    for _ in range(4):
        response = yield request
        browser.keep(response)
        if response.status not in (302, 303):
            break
        request = browser.open(response.location or "")
    if response.status != 200:
        raise FlowError(f"status {response.status} instead of the sign-in page")
    form = next_form(response.body.decode("utf-8"))
    request = browser.submit(form, form.filled(identifier, WRONG_PASSWORD))
    began = perf_counter()
    response = yield request
    record(perf_counter() - began, response.status, len(response.body))


def measure(subject: Subject, people: Mapping[str, Sequence[str]], each: int, *, tell: Callable[[], None]) -> list[FailureTimes]:
    """`each` failures of every kind. `people` maps a kind to identifiers that fail that way.

    Raises FlowError when a sign-in page cannot be reached, UnreachableError when the server cannot.
    """
    plan = [(kind, turn) for kind in people for turn in range(each)]
    random.Random(1).shuffle(plan)
    times: dict[str, list[float]] = {kind: [] for kind in people}
    answers: dict[str, Counter[str]] = {kind: Counter() for kind in people}
    for kind, turn in plan:

        def record(seconds: float, status: int, length: int, kind: str = kind) -> None:
            times[kind].append(seconds * 1000)
            # Pages hold tokens and the identifier typed: their length is told to the nearest hundred.
            answers[kind][f"status {status}, about {round(length, -2)} bytes"] += 1

        identifier = people[kind][turn % len(people[kind])]
        run = drive(subject.address, [partial(_attempt, subject, identifier, record)], 0)
        if run.failures:
            raise FlowError(f"{kind}: {next(iter(run.failures))}")
        tell()
    return [FailureTimes(kind, tuple(times[kind]), dict(answers[kind])) for kind in people]


def describe(results: Sequence[Mapping[str, Any]]) -> str:
    """The distributions as text, one block for each kind: percentiles, and a histogram on edges common to all.

    The edges go from the 1st to the 95th percentile of everything; the last bin holds whatever took longer.
    """
    everything = [value for result in results for value in result["milliseconds"]]
    low, high = percentile(everything, 1), percentile(everything, 95)
    edges = [low + (high - low) * step / 10 for step in range(11)] if high > low else [low, low + 1]
    blocks = []
    for result in results:
        values = result["milliseconds"]
        p50, p90, p99 = (percentile(values, percent) for percent in (50, 90, 99))
        told = ", ".join(f"{count} x {answer}" for answer, count in result["answers"].items())
        head = f"{result['kind']}: n={len(values)} p50 {p50:.1f} ms, p90 {p90:.1f} ms, p99 {p99:.1f} ms ({told})"
        blocks.append("\n".join([head, *histogram(values, edges)]))
    return "\n\n".join(blocks)
