"""How deep a pipeline is, for what was seen of a link."""

from __future__ import annotations

from empiarfs.core.depth import Depth


def depth_after(answers: int, stall_every: int = 0) -> int:
    depth = Depth()
    for number in range(1, answers + 1):
        depth.answered()
        if stall_every and number % stall_every == 0:
            depth.stalled()
    return depth.requests


def test_an_unknown_link_is_taken_for_empiars() -> None:
    assert depth_after(0) == 16


def test_a_link_without_stalls_is_used_more_and_more() -> None:
    assert depth_after(30) < depth_after(130) == 49 < depth_after(400) == 96


def test_a_link_that_swallows_one_in_33_is_used_less() -> None:
    assert depth_after(330, stall_every=33) <= 9


def test_a_link_that_has_become_better_is_found_out() -> None:
    depth = Depth()
    for _ in range(20):
        depth.stalled()
    assert depth.requests == 8
    for _ in range(20_000):
        depth.answered()

    assert depth.requests == 96
