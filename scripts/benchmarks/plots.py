"""Draws what a benchmark found: `python -m scripts.benchmarks.plots FOLDER FILE.json…`.

From the JSON that `scripts/bench --json` writes, of one run or of several, three pictures:

    throughput.svg   the speeds, all clients beside each other
    times.svg        how long work took, on a logarithmic scale; hatched: given up by then
    latency.svg      what part of many waits was over after how long

Needs matplotlib, which nothing else here does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

_COLOURS = {
    "empiarfs": "#0072b2",
    "rclone": "#e69f00",
    "rclone-tuned": "#999999",
    "empiarreader": "#009e73",
    "fsspec": "#cc79a7",
    "fsspec-ranges": "#56b4e9",
}
_INCH_A_BAR = 0.22


@dataclass(frozen=True, slots=True)
class Bar:
    """What one client gave for one figure.

    Attributes:
        value: In the unit of the picture.
        least: The smallest sample.
        most: The largest sample.
        is_over: The work was given up when it had taken `value`.
    """

    value: float
    least: float
    most: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One figure with the bars of all clients, by their names."""

    title: str
    bars: dict[str, Bar]


def rows(found: Sequence[dict[str, Any]], unit: str, per_shown: float) -> list[Row]:
    """Return the figures of a unit, as JSON has them, with values divided by `per_shown`."""
    made = []
    for figure, link in _figures(found):
        if figure.get("unit") != unit or not figure["clients"]:
            continue
        bars = {
            name: Bar(
                summary["value"] / per_shown,
                summary["least"] / per_shown,
                summary["most"] / per_shown,
                summary["is_over"],
            )
            for name, summary in figure["clients"].items()
        }
        made.append(Row(f"{link}: {figure['title']}", bars))
    return made


def waits(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Return all single waits in seconds, sorted, by figure and client."""
    made: dict[str, dict[str, list[float]]] = {}
    for figure, link in _figures(found):
        for name, summary in figure["clients"].items():
            times = sorted(t for sample in summary["samples"] for t in sample["distribution"])
            if times:
                made.setdefault(f"{link}: {figure['title']}", {})[name] = times
    return made


def draw(found: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw all pictures for which there is something; return their files."""
    mpl.rcParams["svg.hashsalt"] = "empiarfs"  # the same picture for the same figures
    pictures = {
        "throughput": _bars(rows(found, "MB/s", 1e6), "MB/s", "linear"),
        "times": _bars(rows(found, "s", 1.0), "seconds", "log"),
        "latency": _distributions(waits(found)),
    }
    files = []
    for name, picture in pictures.items():
        if picture is not None:
            files.append(folder / f"{name}.svg")
            picture.savefig(files[-1], bbox_inches="tight", metadata={"Date": None})
    return files


def _figures(found: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    for run in found:
        for figure in run["figures"]:
            yield figure, run["link"]


def _bars(shown: Sequence[Row], label: str, scale: str) -> Picture | None:
    if not shown:
        return None
    picture = Picture(figsize=(8.0, 1.0 + _INCH_A_BAR * sum(len(row.bars) + 1 for row in shown)))
    axes = picture.subplots()
    place = 0.0
    ticks = []
    for row in shown:
        ticks.append(place + (len(row.bars) - 1) / 2)
        for name, bar in row.bars.items():
            _draw_bar(axes, place, name, bar)
            place += 1
        place += 1
    axes.set_yticks(ticks, [row.title for row in shown], fontsize=8)
    axes.set_ylim(place - 0.5, -1.0)
    axes.set_xscale(scale)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    _legend(axes, {name for row in shown for name in row.bars})
    return picture


def _draw_bar(axes: Axes, place: float, name: str, bar: Bar) -> None:
    hatch = "///" if bar.is_over else None
    axes.barh(place, bar.value, height=0.9, color=_COLOURS.get(name), hatch=hatch, alpha=0.9)
    if bar.most > bar.least:
        axes.plot([bar.least, bar.most], [place, place], color="black", linewidth=1)


def _distributions(shown: dict[str, dict[str, list[float]]]) -> Picture | None:
    if not shown:
        return None
    picture = Picture(figsize=(8.0, 2.6 * len(shown)))
    for axes, (title, clients) in zip(
        picture.subplots(len(shown), squeeze=False)[:, 0], shown.items(), strict=True
    ):
        for name, times in clients.items():
            parts = [100 * (i + 1) / len(times) for i in range(len(times))]
            axes.step(
                [1e3 * t for t in times], parts, where="post", label=name, color=_COLOURS.get(name)
            )
        axes.set_xscale("log")
        axes.set_title(title, fontsize=9)
        axes.set_ylabel("% of the waits")
        axes.set_xlabel("ms")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    picture.tight_layout()
    return picture


def _legend(axes: Axes, names: set[str]) -> None:
    for name in _COLOURS:
        if name in names:
            axes.barh(0, 0, color=_COLOURS[name], label=name)
    axes.legend(fontsize=8)


def _main(words: Sequence[str]) -> None:
    if len(words) < 2:
        sys.exit("usage: python -m scripts.benchmarks.plots FOLDER FILE.json...")
    folder = Path(words[0])
    found = [run for file in words[1:] for run in json.loads(Path(file).read_text())]
    for file in draw(found, folder):
        print(file)


if __name__ == "__main__":
    _main(sys.argv[1:])
