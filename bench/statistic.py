"""Numbers from numbers: medians, percentiles, text histograms, the floor and the ratios to it. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile (0 < percent <= 100) of `values` in any order. Raises ValueError when empty."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The median; the mean of the two middle values when their number is even. Raises ValueError when empty."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def histogram(values: Sequence[float], edges: Sequence[float], width: int = 40) -> list[str]:
    """One text line for each bin [edge, next edge): `width` characters are the fullest bin.

    The first bin also counts what lies below the edges and the last what lies above, so that every value is counted.
    """
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += 1
    most = max(counts, default=0) or 1
    return [
        f"{edges[i]:8.2f} - {edges[i + 1]:8.2f}  {'#' * round(width * count / most):<{width}} {count}" for i, count in enumerate(counts)
    ]


@dataclass(frozen=True, slots=True)
class Work:
    """The least a flow of one workload can do: JWTs signed and verified, SQL transactions, SQL selects, hashes."""

    signs: int = 0
    verifies: int = 0
    transactions: int = 0
    selects: int = 0
    hashes: int = 0


def floor_cpu_ms(work: Work, requests: float, alg: str, floors: Mapping[str, float]) -> float:
    """CPU milliseconds of a flow that does `work` in `requests` HTTP requests and nothing else.

    `floors` holds microseconds: flask_hello, jwt_sign_<alg>, jwt_verify_<alg>, sqlite_transaction, sqlite_select,
    argon2id. The sum is that of performance.md: web layer, signatures and verifications, SQL.
    """
    name = alg.lower()
    microseconds = (
        requests * floors["flask_hello"]
        + work.signs * floors[f"jwt_sign_{name}"]
        + work.verifies * floors[f"jwt_verify_{name}"]
        + work.transactions * floors["sqlite_transaction"]
        + work.selects * floors["sqlite_select"]
        + work.hashes * floors["argon2id"]
    )
    return microseconds / 1000


def ratio(ours: float, theirs: float | None) -> float | None:
    """ours / theirs, or None where there is nothing to compare with."""
    return None if theirs is None or theirs == 0 else ours / theirs
