"""What bench.replay is made of: its drafts, its page and its chart. Nothing is timed."""

from typing import Any

import pytest

from bench import replay, replay_page
from policies.rules import parse_rules


def result(seconds: float, decide_us: float) -> dict[str, Any]:
    replays = [
        {
            "draft": draft,
            "days": days,
            "judged": 1000 * days,
            "distinct": 7,
            "asked": 3,
            "seconds": 1.0,
            "cpu_seconds": seconds,
            "peak_rss_mb": 90.0,
        }
        for draft in ("6 rules", "50 rules")
        for days in (7, 30)
    ]
    decisions = [{"draft": "50 rules", "rules": 50, "decide_us": decide_us, "explain_us": 900.0}]
    machine = {"cpu": "c", "cores": 2, "memory_gb": 8, "kernel": "6", "python": "3.11", "sqlite": "3", "load_average_at_start": 0.1}
    settings = {"sign_ins": 200_000, "people": 6000, "establishments": 40, "rounds": 3}
    return {
        "name": "2026-11-22-1200-replay",
        "date": "2026-11-22",
        "command": "python -m bench.replay",
        "store": "SQLite",
        "machine": machine,
        "settings": settings,
        "replays": replays,
        "decisions": decisions,
    }


def test_page_says_which_goals_were_reached() -> None:
    assert all(goal.is_reached for goal in replay_page.goals(result(4.0, 20.0)))
    assert [goal.is_reached for goal in replay_page.goals(result(400.0, 80.0))] == [False, False, True, False]
    page = replay_page.markdown(result(4.0, 20.0))
    assert "| replay of 30,000 sign-ins by 50 rules | under 15 s of processor | 4.0 s | yes |" in page
    chart = replay_page.draw(result(4.0, 20.0))
    assert chart.count("<rect") == 5
    assert "6 rules, 7 days (7,000)" in chart


def test_drafts_are_rules() -> None:
    assert [len(parse_rules(list(raw)).rules) for raw in replay.drafts().values()] == [6, 50]


def test_command_line_is_read() -> None:
    assert replay.read([]).is_whole
    assert not replay.read(["--sign-ins", "10"]).is_whole
    with pytest.raises(SystemExit):
        replay.read(["--rounds", "0"])
