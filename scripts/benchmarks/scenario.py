"""Something to measure: figures, and what yields their samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scripts.benchmarks.archive import Scale
from scripts.benchmarks.clients import MOUNTING
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
        clients: The names of those by which it can be done.
        is_long_once: Who needs more than a minute for it isn't asked to repeat it.
    """

    name: str
    title: str
    figures: Callable[[Scale], tuple[Figure, ...]]
    measure: Callable[[Stage], Iterator[Sample]]
    link: str = "loopback"
    clients: tuple[str, ...] = MOUNTING
    is_long_once: bool = False
