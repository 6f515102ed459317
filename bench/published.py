"""Figures of other OpenID Providers, measured before and kept as data: durable rows are what Vestibule is held to.

Nothing here was measured by this bench's runs; SOURCE says where it comes from and must be shown beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = "measured November 2026, same kind of machine"
# Microseconds of CPU on that machine, to say how fast the machine of a run is beside it.
MACHINE_US = {"rs256_sign": 390.0, "es256_sign": 32.0, "es256_verify": 83.0, "flask_hello": 130.0, "bare_wsgi": 26.0}
GOAL_TIMES_DURABLE = 3.0
GOAL_TIMES_FLOOR = 1.6
GOAL_RSS_MB = 120.0
GOAL_COLD_START_S = 1.0
GOAL_SIGN_IN_BESIDE_HASH_MS = 8.0


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One system: rates in requests or flows a second by workload key, resident MB, seconds to the first answer.

    `is_durable` is True where what was answered is committed to disk.
    """

    system: str
    store: str
    alg: str
    rates: Mapping[str, float]
    rss_mb: float
    cold_start_s: float
    is_durable: bool


def _rates(w1: float, w2: float, w4: float, w5: float | None, w6: float | None, w7: float | None, w3: float) -> dict[str, float]:
    by_key = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5, "W6": w6, "W7": w7}
    return {key: rate for key, rate in by_key.items() if rate is not None}


ROWS = (
    PublishedRow("node-oidc-provider", "memory", "RS256", _rates(1205, 1015, 589, 6098, 5191, 6309, 21), 255, 0.5, is_durable=False),
    PublishedRow("node-oidc-provider", "memory", "ES256", _rates(3482, 1367, 701, 4976, 5275, 9853, 18), 272, 0.3, is_durable=False),
    PublishedRow("node-oidc-provider", "Redis", "RS256", _rates(1228, 806, 483, 5060, 3777, 7567, 18), 273, 0.6, is_durable=False),
    PublishedRow("node-oidc-provider", "Redis", "ES256", _rates(2520, 1165, 553, None, None, None, 21), 279, 0.5, is_durable=False),
    PublishedRow("django-oauth-toolkit", "SQLite", "RS256", _rates(388, 89, 63, 452, 411, 1279, 2), 97, 1.0, is_durable=True),
    PublishedRow("Glewlwyd (C)", "SQLite", "RS256", _rates(179, 91, 39, 1014, 1109, 18488, 18), 23, 0.06, is_durable=True),
    PublishedRow("Glewlwyd (C)", "SQLite", "ES256", _rates(250, 110, 45, 914, 961, 15197, 20), 23, 0.05, is_durable=True),
    PublishedRow("LemonLDAP::NG", "files", "RS256", _rates(141, 106, 64, 425, 334, 2278, 25), 541, 0.6, is_durable=True),
    PublishedRow("LemonLDAP::NG", "Redis", "RS256", _rates(99, 85, 44, 314, 295, None, 22), 567, 0.5, is_durable=False),
    PublishedRow("Canaille", "SQLite", "ES256", _rates(141, 43, 24, 86, 324, 735, 12), 145, 1.3, is_durable=True),
)


def best_durable(workload: str) -> PublishedRow:
    """The fastest durable row of a workload, whatever its signature algorithm. Raises ValueError when there is none."""
    return max((row for row in ROWS if row.is_durable and workload in row.rates), key=lambda row: row.rates[workload])
