"""The page of bench.group is the newest result's, and its figures are ratios. Nothing is timed here."""

from pathlib import Path

import pytest

from bench import group_page, report
from bench.group import placing
from bench.group_page import FIGURES, chart, markdown
from tests.support.group import home

RESULTS = Path(__file__).parents[2] / "bench" / "results"
DOCS = Path(__file__).parents[2] / "docs"


def test_page_is_that_of_the_newest_result() -> None:
    newest = sorted(RESULTS.glob("*-group.json"))[-1]
    assert (DOCS / group_page.PAGE).read_text(encoding="utf-8") == markdown(report.load(newest)), "python -m bench.group writes it"


@pytest.mark.parametrize(("large", "shown"), [(1.0, "1.00x ██████████"), (2.5, "2.50x " + "█" * 25), (9.0, "9.00x " + "█" * 40 + "…")])
def test_chart_shows_how_many_times_the_small_group_it_costs(large: float, shown: str) -> None:
    small = {"homes": 4, "people": 300, **dict.fromkeys(FIGURES, 1.0)}
    lines = chart({"groups": {"small": small, "large": {"homes": 400, "people": 30_000, **dict.fromkeys(FIGURES, large)}}}).splitlines()
    assert len(lines) == 1 + len(FIGURES)
    assert all(line.endswith(shown) for line in lines[1:])


def test_rules_of_the_bench_place_everybody_it_makes() -> None:
    assert placing(homes=5, people=20)["placing_p50_us"] > 0  # raises when somebody is placed nowhere


def test_homes_of_the_group_never_share_an_address() -> None:
    networks = [network for number in range(400) for zone in home(number)["zones"] for network in zone["networks"]]
    assert len(set(networks)) == len(networks) == 1_600
