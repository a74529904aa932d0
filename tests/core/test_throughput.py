"""What counts as a measurement of the link, told by times that are made up."""

from __future__ import annotations

from empiarfs.core.throughput import Measured, Throughput

MB = 1_000_000


def test_requests_side_by_side_count_the_time_once() -> None:
    meter = Throughput(least_s=3.0)
    for _ in range(3):
        meter.began(10.0)
    meter.ended(12.0, 4 * MB)
    meter.ended(13.0, 4 * MB)
    meter.ended(14.0, 4 * MB)

    assert meter.finish() == Measured(12 * MB, 4.0)


def test_a_short_pause_is_cut_out_and_a_long_one_ends_it() -> None:
    meter = Throughput(least_s=3.0)
    meter.began(0.0)
    meter.ended(2.0, 2 * MB)
    assert meter.began(2.4) is None
    meter.ended(4.4, 2 * MB)

    assert meter.began(5.0) == Measured(4 * MB, 4.0)


def test_headers_and_a_short_stretch_measure_nothing() -> None:
    meter = Throughput(least_s=3.0)
    for second in range(20):
        meter.began(second)
        meter.ended(second + 1.0, 64 * 1024)
    assert meter.finish() is None
    meter.began(100.0)
    meter.ended(102.9, 50 * MB)

    assert meter.finish() is None


def test_requests_that_bring_nothing_measure_nothing() -> None:
    meter = Throughput(least_s=3.0)
    meter.began(0.0)
    meter.ended(12.0, 0)

    assert meter.finish() is None


def test_a_long_stretch_is_told_each_half_minute() -> None:
    meter = Throughput(least_s=3.0)
    told = []
    meter.began(0.0)
    for second in range(1, 62):
        meter.began(second - 0.5)
        told.append(meter.ended(float(second), MB))

    assert [each for each in told if each is not None] == [Measured(30 * MB, 30.0)] * 2
