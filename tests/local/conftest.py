"""What the tests of local copies share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.local_copies import Rig


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    """Make rigs that are closed at the end."""
    rigs: list[Rig] = []

    def make(*args: object, **kwargs: object) -> Rig:
        rigs.append(Rig(*args, **kwargs))  # type: ignore[arg-type]  # passed on as they are
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()
