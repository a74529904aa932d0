"""The file system without FUSE, against the history of an archive that changes and breaks.

What has ever failed stands here as a program of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.file_system_machine import FileSystemMachine
from tests.support.campaign import is_whole

pytestmark = [pytest.mark.slow, pytest.mark.expects_warnings]


def test_whatever_happens_it_shows_what_the_archive_held() -> None:
    examples, steps = (1_000, 40) if is_whole() else (20, 25)

    run_state_machine_as_test(
        FileSystemMachine,
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


@pytest.fixture
def state() -> Iterator[FileSystemMachine]:
    made = FileSystemMachine()
    yield made
    made.teardown()


def test_a_file_that_no_listing_shows_is_asked_for_anew_after_a_day(
    state: FileSystemMachine,
) -> None:
    state.stat("10002/data/README.txt")
    state.replace("10002/data/README.txt", 1)
    state.day_passes()
    state.stat("10002/data/README.txt")


def test_a_change_is_seen_though_the_new_listing_lacks_the_row(state: FileSystemMachine) -> None:
    state.look("10002/data/a.mrc", 0, 100)
    state.replace("10002/data/a.mrc", 1)
    state.lose_row("10002/data/a.mrc")
    state.day_passes()
    state.stat("10002/data/a.mrc")
