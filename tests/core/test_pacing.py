"""Who shares the paid time keeps to a rate, however late and in whatever order he asks."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.pacing import BURST_NS, FAR_NS, SECOND_NS, cost_ns, paid_after


def received_in(
    seconds: float, limits: list[int], *, late_ns: int = 0, step: int = 65_536
) -> list[int]:
    """Let receivers ask in turn as soon as they may; return what each has got."""
    now_ns, paid_ns = 10**15, 10**15
    end_ns = now_ns + int(seconds * SECOND_NS)
    got = [0] * len(limits)
    random = Random(1)
    turn = 0
    while now_ns < end_ns:
        paid_ns, wait_ns = paid_after(paid_ns, now_ns, cost_ns(step, limits[turn]))
        if wait_ns:
            now_ns += wait_ns + random.randrange(late_ns + 1)
            continue
        got[turn] += step
        turn = (turn + 1) % len(limits)
    return got


@pytest.mark.parametrize("late_ns", [0, 30_000_000])
@pytest.mark.parametrize("limit", [65_536, 1_000_000, 100_000_000])
def test_ten_seconds_bring_ten_seconds_worth(limit: int, late_ns: int) -> None:
    (got,) = received_in(10, [limit], late_ns=late_ns, step=min(65_536, limit // 10))

    assert got == pytest.approx(10 * limit, rel=0.03)


def test_two_receivers_get_half_each() -> None:
    assert received_in(10, [2_000_000, 2_000_000]) == pytest.approx([10**7, 10**7], rel=0.03)


def test_two_limits_share_the_time() -> None:
    # In turns, step by step: 15 bytes of each take 1.5 and 0.75 of what 15 at 10 would.
    slow, fast = received_in(10, [10_000_000, 20_000_000])

    assert slow / 10_000_000 + fast / 20_000_000 == pytest.approx(10, rel=0.03)
    assert slow < 10 * 10_000_000
    assert slow + fast < 10 * 20_000_000


def test_a_pause_saves_up_a_quarter_of_a_second_at_most() -> None:
    paid_ns, wait_ns = paid_after(5, 10**15, cost=100)

    assert wait_ns == 0
    assert paid_ns == 10**15 - BURST_NS + 100


def test_who_is_not_in_a_hurry_comes_a_bit_later_and_loses_nothing() -> None:
    assert paid_after(100, 100, cost=30, stand_back_ns=5) == (100, 5)
    assert paid_after(100, 105, cost=30, stand_back_ns=5) == (130, 0)


def test_a_time_that_nobody_can_have_written_does_not_stop_anybody() -> None:
    now_ns = 10**15

    assert paid_after(now_ns + FAR_NS + 1, now_ns, cost=30) == (now_ns + 30, 0)
    assert paid_after(2**62, now_ns, cost=30) == (now_ns + 30, 0)
    assert paid_after(-(2**62), now_ns, cost=30) == (now_ns - BURST_NS + 30, 0)


@given(
    paid_ns=st.integers(-(2**63), 2**63 - 1),
    now_ns=st.integers(0, 2**60),
    cost=st.integers(0, 2**40),
)
def test_nobody_ever_waits_longer_than_a_minute_at_a_time(
    paid_ns: int, now_ns: int, cost: int
) -> None:
    after_ns, wait_ns = paid_after(paid_ns, now_ns, cost)

    assert 0 <= wait_ns <= FAR_NS
    assert after_ns >= min(paid_ns, now_ns - BURST_NS)
