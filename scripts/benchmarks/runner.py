"""Repeats scenarios, with the clients in alternation, and keeps what they gave.

The clients take turns within each repetition, in the other order each time, so that a
machine that grows slower or busier doesn't do it to one of them only. What fails is kept
and reported, and the rest goes on.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scripts.benchmarks.archive import Scale, ServedArchive
from scripts.benchmarks.clients import Client
from scripts.benchmarks.figures import Figure, Sample, Summary, format_value, summary_of
from scripts.benchmarks.links import Link
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import SkippedError, Stage, WrongAnswerError

# What a client or a reader may fail with; anything else is a mistake of the benchmark.
_FAILURES = (OSError, RuntimeError, WrongAnswerError, subprocess.SubprocessError)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        scenarios: In this order.
        clients: Who is measured; of them empiarfs is judged, by comparison with the best other.
        link: The way to the archive.
        repetitions: How often, at least 1.
        scale: How much is served.
        long_s: Who takes longer for a scenario repeats it only where that isn't forgone.
    """

    scenarios: tuple[Scenario, ...]
    clients: tuple[Client, ...]
    link: Link
    repetitions: int
    scale: Scale
    long_s: float = 60.0

    def figures(self) -> tuple[Figure, ...]:
        """Return the figures of all scenarios."""
        return tuple(
            figure for scenario in self.scenarios for figure in scenario.figures(self.scale)
        )


@dataclass(slots=True)
class Results:
    """What came of a plan.

    Attributes:
        samples: By the name of the client.
        failures: What went wrong, in words.
        skipped: What could not be measured here, in words.
        link_late_s: By how much a slow link itself was late at worst; see `links.Way`.
    """

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    link_late_s: float = 0.0

    def summary(self, figure: Figure, client: str) -> Summary | None:
        """Return what the repetitions say together, or None if there were none."""
        return summary_of(figure, self.samples.get(client, ()))


def run(plan: Plan, archive: ServedArchive, say: Callable[[str], None]) -> Results:
    """Run all scenarios of a plan, saying each sample as it comes."""
    results = Results({client.name: [] for client in plan.clients})
    units = {figure.key: figure for figure in plan.figures()}
    with plan.link.connect(archive.server.url) as way:
        for scenario in plan.scenarios:
            say(f"{scenario.name}: {scenario.title}")
            done: set[str] = set()
            for number in range(1, plan.repetitions + 1):
                for client in _in_turn(plan.clients, number):
                    if client.name in done:
                        continue
                    began_s = time.monotonic()
                    stage = Stage(archive, way, client, plan.link.name)
                    try:
                        for sample in scenario.measure(stage):
                            results.samples[client.name].append(sample)
                            value = format_value(sample.value, units[sample.figure].unit)
                            over = "over " if sample.is_over else ""
                            say(f"  {number}/{plan.repetitions} {client.name:12} "
                                f"{sample.figure:18} {over}{value}")  # fmt: skip
                    except SkippedError as exc:
                        if (line := f"{scenario.name}, {client.name}: {exc}") in results.skipped:
                            continue
                        results.skipped.append(line)
                        say(f"  {number}/{plan.repetitions} {client.name:12} skipped: {exc}")
                    except _FAILURES as exc:
                        results.failures.append(f"{scenario.name}, {client.name}: {exc}")
                        say(f"  {number}/{plan.repetitions} {client.name:12} FAILED: {exc}")
                    if scenario.is_long_once and time.monotonic() - began_s > plan.long_s:
                        done.add(client.name)
        results.link_late_s = way.late_s
    return results


def _in_turn(clients: Sequence[Client], number: int) -> Sequence[Client]:
    return clients if number % 2 else clients[::-1]
