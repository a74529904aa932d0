"""What was found is drawn: each figure and client, hatched where work was given up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.benchmarks import plots
from tests.support.users import CHECKOUT


def client(
    value: float, *, is_over: bool = False, waits: tuple[float, ...] = ()
) -> dict[str, Any]:
    return {
        "value": value,
        "least": value / 2,
        "most": value * 2,
        "is_over": is_over,
        "samples": [{"distribution": list(waits)}],
    }


FOUND = [
    {
        "link": "loopback",
        "figures": [
            {
                "title": "2 GB, cold",
                "unit": "MB/s",
                "clients": {"empiarfs": client(4e8), "rclone": client(3e8)},
            },
            {"title": "not measured", "unit": "MB/s", "clients": {}},
        ],
    },
    {
        "link": "ebi",
        "figures": [
            {
                "title": "ls -l",
                "unit": "s",
                "clients": {"empiarfs": client(7.0), "rclone": client(120.0, is_over=True)},
            },
            {
                "title": "scattered",
                "unit": "ms",
                "clients": {"empiarfs": client(0.05, waits=(0.06, 0.04, 0.05))},
            },
        ],
    },
]


def test_rows_are_those_of_a_unit_that_were_measured() -> None:
    [row] = plots.rows(FOUND, "MB/s", 1e6)

    assert row.title == "loopback: 2 GB, cold"
    assert row.bars["rclone"] == plots.Bar(300.0, 150.0, 600.0, is_over=False)


def test_waits_are_sorted_by_figure_and_client() -> None:
    assert plots.waits(FOUND) == {"ebi: scattered": {"empiarfs": [0.04, 0.05, 0.06]}}


def test_the_command_draws_what_a_run_has_written(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    file.write_text(json.dumps(FOUND))

    words = [sys.executable, "-m", "scripts.benchmarks.plots", str(tmp_path), str(file)]
    subprocess.run(words, check=True, cwd=CHECKOUT, capture_output=True, timeout=120)

    drawn = {path.name: path.read_text() for path in tmp_path.glob("*.svg")}
    assert set(drawn) == {"throughput.svg", "times.svg", "latency.svg"}
    assert all("<svg" in text for text in drawn.values())


def test_without_figures_nothing_is_drawn(tmp_path: Path) -> None:
    assert plots.draw([], tmp_path) == []
