"""A mount against local copies, while its archive changes and errs.

What has ever failed stands here as a program of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.mount_machine import MountMachine, made_stage
from tests.support.campaign import is_whole, tally

pytestmark = [pytest.mark.fuse, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def _stage() -> Iterator[None]:
    with made_stage() as stage:
        MountMachine.stage = stage
        yield
        for name, count in stage.server.met.items():
            tally.add("faults", name, count)


@pytest.fixture
def state() -> Iterator[MountMachine]:
    made = MountMachine()
    yield made
    made.teardown()


def test_whatever_happens_it_shows_what_the_archive_held() -> None:
    examples, steps = (200, 50) if is_whole() else (6, 30)

    run_state_machine_as_test(
        MountMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # To shorten a program takes minutes of running it; a long one can be read too.
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_a_file_that_is_gone_is_gone_for_stat_too(state: MountMachine) -> None:
    state.stat("a.mrc")
    state.remove("a.mrc")
    state.day_passes()
    state.open("a.mrc")
    state.stat("a.mrc")
