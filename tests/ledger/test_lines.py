"""A ledger's lines: written, read back, damaged."""

from __future__ import annotations

import json
import zlib

from hypothesis import given
from hypothesis import strategies as st

from empiarfs.ledger import Line, Mark, Refusal, decoded, encoded, from_values

MARK = Mark(10.0, "mounted", 7, 9.5, "/mnt", "node1")
# Names are bytes; what isn't UTF-8 arrives as lone surrogates.
NAMES = st.text(st.characters() | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
REFUSALS = st.builds(
    Refusal,
    at_s=st.floats(0, 1e10),
    call=st.sampled_from(("read", "stat")),
    path=NAMES,
    errno=st.just("EIO"),
    cause=NAMES,
    kind=NAMES,
    offset=st.none() | st.integers(0, 2**62),
    size=st.none() | st.integers(0, 2**31),
    count=st.integers(1, 2**40),
    pid=st.integers(0, 2**22),
    program=NAMES,
)


def refusal(
    path: str = "a.mrc", *, offset: int = 0, size: int = 4096, at_s: float = 1.0
) -> Refusal:
    return Refusal(at_s, "read", path, "EIO", "no answer", offset=offset, size=size)


@given(lines=st.lists(REFUSALS | st.just(MARK)))
def test_what_was_written_is_read_back(lines: list[Line]) -> None:
    raw = b"".join(map(encoded, lines))

    assert list(decoded(raw)) == lines
    assert raw.count(b"\n") == len(lines)


@given(lines=st.lists(REFUSALS, min_size=1, max_size=4), data=st.data())
def test_a_torn_line_is_passed_over_and_no_other(
    lines: list[Refusal], data: st.DataObject
) -> None:
    written = [encoded(line) for line in lines]
    torn = data.draw(st.integers(0, len(lines) - 1))
    cut = data.draw(st.integers(1, len(written[torn]) - 1))
    raw = b"".join(
        line[:cut] + b"\n" if number == torn else line for number, line in enumerate(written)
    )

    kept = [line for number, line in enumerate(lines) if number != torn]
    # Cut before its last byte only the end of the line is missing, and that was put back.
    assert list(decoded(raw)) in (kept, lines if cut == len(written[torn]) - 1 else kept)


@given(line=REFUSALS, data=st.data())
def test_a_flipped_bit_makes_a_line_void(line: Refusal, data: st.DataObject) -> None:
    raw = bytearray(encoded(line))
    place = data.draw(st.integers(0, len(raw) - 2))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))

    assert list(decoded(bytes(raw))) == []


@given(raw=st.binary())
def test_whatever_stands_in_the_file_is_no_failure(raw: bytes) -> None:
    text = raw.replace(b"\n", b"")

    assert list(decoded(raw)) == []
    list(decoded(b"%08x %s\n" % (zlib.crc32(text), text)))


def test_what_a_later_release_adds_is_passed_over() -> None:
    values = json.loads(encoded(MARK).partition(b" ")[2])

    assert from_values({**values, "colour": "red"}) == MARK
    assert from_values({**values, "what": "painted"}) is None
    assert from_values({**values, "line": "poem"}) is None
    assert from_values({**values, "pid": "seven"}) is None
    assert from_values({"line": "mark"}) is None


def test_refusals_of_one_place_become_one() -> None:
    first = refusal(offset=131072, size=131072, at_s=5.0)
    again = refusal(offset=131072, size=4096, at_s=6.0)
    before = refusal(offset=4096, size=4096, at_s=7.0)

    both = first.and_then(again).and_then(before)

    assert first.key == again.key == before.key
    assert (both.offset, both.size, both.count) == (4096, 258048, 3)
    assert (both.at_s, both.last_s) == (5.0, 7.0)


def test_refusals_far_apart_or_of_another_kind_stay_apart() -> None:
    keys = {
        refusal().key,
        refusal(offset=2**30).key,
        refusal("b.mrc").key,
        Refusal(1.0, "read", "a.mrc", "ESTALE", "changed", offset=0, size=4096).key,
        Refusal(1.0, "stat", "a.mrc", "EIO", "no answer").key,
    }

    assert len(keys) == 5
