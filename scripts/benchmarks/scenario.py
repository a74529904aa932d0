"""Something to measure: figures, and what yields their samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scripts.benchmarks.archive import Scale
from scripts.benchmarks.figures import Figure, Sample
from scripts.benchmarks.stage import Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something to measure.

    Attributes:
        name: Names it in options and JSON.
        title: What it does, in a few words.
        figures: Returns its figures with their goals, for an archive of some scale.
        measure: Does it once, through the client of a stage.
        link: The name of the link over which it is done.
    """

    name: str
    title: str
    figures: Callable[[Scale], tuple[Figure, ...]]
    measure: Callable[[Stage], Iterator[Sample]]
    link: str = "loopback"
