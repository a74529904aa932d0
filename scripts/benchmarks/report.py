"""What people and programs get to see of the results: a table, and JSON.

The table is Markdown, aligned, so that it reads well on a terminal and can be put into
docs/benchmarks.md as it is.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.clients import EMPIARFS
from scripts.benchmarks.far_scenarios import UNREAD_PART, WORST_UNREAD
from scripts.benchmarks.figures import Figure, Goal, Summary, format_value
from scripts.benchmarks.goals import FactorOf
from scripts.benchmarks.runner import Plan, Results

_REACHED = {True: "reached", False: "MISSED", None: "?"}


def machine() -> dict[str, str]:
    """Describe this machine, as far as it matters for figures."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": f"{os.cpu_count()} × {_first_field('/proc/cpuinfo', 'model name')}",
        "memory": _first_field("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load before": load(),
    }


def load() -> str:
    """Return how many processes wanted to run in the last 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def table(plan: Plan, results: Results) -> str:
    """Return the figures of all clients beside their goals."""
    names = [client.name for client in plan.clients]
    header = ["figure", *names, "goal", ""]
    rows = [_row(figure, names, results) for figure in plan.figures()]
    return _markdown([header, *rows])


def missed(plan: Plan, results: Results) -> list[str]:
    """Return the goals that empiarfs did not reach, or that nothing could be said of."""
    if EMPIARFS not in plan.clients:
        return []
    return [
        f"{figure.title}: {goal.text}"
        for figure in plan.figures()
        for goal in figure.goals
        if _judge(goal, figure, results) is not True
    ]


@dataclass(frozen=True, slots=True)
class Unread:
    """What empiarfs fetched over slow links, and what of it nobody read.

    Attributes:
        unread: Bytes, of all repetitions of all figures of which it is known.
        fetched: Bytes that were fetched for them.
        most: The most unread bytes of one repetition.
        where: The key of the figure of which that was one.
    """

    unread: int
    fetched: int
    most: int
    where: str

    @property
    def is_reached(self) -> bool:
        """Whether both goals are reached."""
        return self.unread < UNREAD_PART * self.fetched and self.most < WORST_UNREAD

    @property
    def line(self) -> str:
        """All of it in words."""
        return (
            f"{self.unread / 1e6:,.1f} of {self.fetched / 1e6:,.1f} MB fetched over slow links, "
            f"{self.unread / self.fetched:.1%}, were never read (goal: < {UNREAD_PART:.0%}); "
            f"at worst {self.most / 1e6:,.1f} MB, {self.where} (goal: < {WORST_UNREAD / 1e6:g} MB)"
        )


def unread(results: Iterable[Results]) -> Unread | None:
    """Return what empiarfs fetched and nobody read, or None if that isn't known."""
    known = [
        (sample.unread, sample.wire, sample.figure)
        for result in results
        for sample in result.samples.get(EMPIARFS.name, ())
        if sample.unread is not None and sample.wire
    ]
    if not known:
        return None
    most, _, where = max(known)
    return Unread(sum(one for one, _, _ in known), sum(all_ for _, all_, _ in known), most, where)


def as_json(plan: Plan, results: Results, about: dict[str, str]) -> dict[str, Any]:
    """Return everything that was found, fit for `json.dump`."""
    names = [client.name for client in plan.clients]
    in_vain = unread([results])
    return {
        "machine": about,
        "link": plan.link.name,
        "repetitions": plan.repetitions,
        "scale": asdict(plan.scale),
        "figures": [_figure_as_json(figure, names, results) for figure in plan.figures()],
        "failures": results.failures,
        "skipped": results.skipped,
        "unread": None if in_vain is None else asdict(in_vain),
        "link_late_s": results.link_late_s,
    }


def _figure_as_json(figure: Figure, names: Sequence[str], results: Results) -> dict[str, Any]:
    summaries = {name: results.summary(figure, name) for name in names}
    return {
        "figure": figure.key,
        "title": figure.title,
        "unit": figure.unit.value,
        "summed_up_by": "worst" if figure.worst_counts else "median",
        "clients": {
            name: {
                **asdict(summary),
                "samples": [
                    asdict(sample)
                    for sample in results.samples[name]
                    if sample.figure == figure.key
                ],
            }
            for name, summary in summaries.items()
            if summary is not None
        },
        "goals": [
            {"goal": goal.text, "reached": _judge(goal, figure, results)} for goal in figure.goals
        ],
    }


def _row(figure: Figure, names: Sequence[str], results: Results) -> list[str]:
    cells = [_cell(figure, results.summary(figure, name)) for name in names]
    goals = ", ".join(goal.text for goal in figure.goals)
    verdicts = [_REACHED[_judge(goal, figure, results)] for goal in figure.goals]
    # One word for all goals where it is the same for all.
    shown = verdicts if len(set(verdicts)) > 1 else verdicts[:1]
    return [figure.title, *cells, goals, ", ".join(shown)]


def _judge(goal: Goal, figure: Figure, results: Results) -> bool | None:
    """Hold a goal against each of the peers, so that the best counts; or against that it names."""
    ours = results.summary(figure, EMPIARFS.name)
    if ours is None:
        return None
    names = [name for name in results.samples if name != EMPIARFS.name]
    if isinstance(goal, FactorOf):
        names = [goal.peer]
    peers = [peer for name in names if (peer := results.summary(figure, name)) is not None]
    held_against: Sequence[Summary | None] = peers or (None,)
    verdicts = {goal.is_reached(ours, peer) for peer in held_against}
    return False if False in verdicts else None if None in verdicts else True


def _cell(figure: Figure, summary: Summary | None) -> str:
    if summary is None:
        return "–"
    shown = format_value(summary.value, figure.unit)
    parts = [f"over {shown}" if summary.is_over else shown]
    if summary.samples > 1:
        low, high = (
            format_value(value, figure.unit).split(" ")[0]
            for value in (summary.least, summary.most)
        )
        parts.append(f"({low}–{high})")
    return " ".join([*parts, ", ".join(_traffic(summary))]).rstrip()


def _traffic(summary: Summary) -> list[str]:
    parts = []
    if summary.requests is not None and summary.wire is not None:
        parts += [f"{summary.requests:,} requests", f"{summary.wire / 1e6:,.1f} MB"]
    if summary.unread is not None:
        parts.append(f"{summary.unread / 1e6:,.1f} unread")
    if summary.connections is not None:
        parts.append(f"{summary.connections} connections")
    if summary.refused:
        parts.append(f"{summary.refused} REFUSED")
    return parts


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _first_field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return " ".join(value.split())
    return "unknown"
