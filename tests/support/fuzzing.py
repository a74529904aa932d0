"""Fuzzing of parsers: a corpus of inputs that are kept, and endless mutations of them.

    def check(data: bytes) -> None:
        ...                        # whatever must hold of any input; raises if it doesn't

    def test_…() -> None:
        fuzz("listing", check, tokens=(b"<a ", b"</table>"))

The corpus of a target is the folder of its name below tests/data/fuzz; each file is one
input. All of them are tried first, always. Then hypothesis changes, cuts, joins and repeats
them: `EXAMPLES` times; for `LONG_S` seconds in a campaign; or for as many seconds as
FUZZ_SECONDS says. What fails is made as small as can be and kept in the corpus as
`found-HASH`, to be committed with its mend.

Threading: none.
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
from hypothesis import strategies as st

from tests.support.campaign import is_whole

CORPUS = Path(__file__).parent.parent / "data" / "fuzz"
EXAMPLES = 250
LONG_S = 30.0
_EXAMPLES_AT_ONCE = 500
_LONGEST = 64 * 1024

Edit = tuple[str, int, int, int]


def corpus_of(target: str) -> list[bytes]:
    """Return the kept inputs of a target, in the order of their names."""
    files = sorted((CORPUS / target).iterdir())
    return [file.read_bytes() for file in files if not file.name.startswith(".")]


def seconds_to_fuzz() -> float:
    """Return how long to fuzz each target; 0 for `EXAMPLES` examples."""
    given = os.environ.get("FUZZ_SECONDS")
    if given:
        return float(given)
    return LONG_S if is_whole() else 0.0


def fuzz(
    target: str,
    check: Callable[[bytes], None],
    *,
    tokens: Sequence[bytes] = (),
    examples: int = EXAMPLES,
) -> None:
    """Call `check` with the corpus of `target`, and with what can be made of it.

    Args:
        target: Name of the corpus.
        check: Raises if something is wrong with what the parser does.
        tokens: Bytes that mean something to the parser.
        examples: How many mutations to try where no time is given.
    """
    seeds = corpus_of(target)
    for seed in seeds:
        check(seed)
    last = b""

    def keeping(data: bytes) -> None:
        nonlocal last
        last = data
        check(data)

    try:
        _run(keeping, mutations(seeds, tokens), examples)
    except Exception:
        # Hypothesis ends with the smallest input that fails.
        _keep(target, last)
        raise


def mutations(seeds: Sequence[bytes], tokens: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy of inputs made of `seeds` by a few edits, or of nothing but tokens."""
    words = [*tokens, b"\0", b"\xff", b"\r\n", b"%00", b"9" * 30, b"-1", b" " * 300]
    place = st.integers(0, 0xFFFF)
    edit = st.tuples(
        st.sampled_from(("set", "cut", "token", "repeat", "splice", "end")), place, place, place
    )
    mutated = st.builds(
        lambda number, edits: _edited(seeds, number, words, edits),
        st.integers(0, len(seeds) - 1),
        st.lists(edit, min_size=1, max_size=8),
    )
    composed = st.lists(st.sampled_from(words) | st.binary(max_size=6), max_size=40).map(b"".join)
    return st.one_of(mutated, mutated, mutated, composed)


def _edited(
    seeds: Sequence[bytes], number: int, words: Sequence[bytes], edits: Sequence[Edit]
) -> bytes:
    data = seeds[number]
    for kind, first, second, third in edits:
        at = first % (len(data) + 1)
        stop = min(at + 1 + second % 200, len(data))
        if kind == "set":
            data = data[:at] + bytes([second % 256]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at] + data[stop:]
        elif kind == "token":
            data = data[:at] + words[second % len(words)] + data[at:]
        elif kind == "repeat":
            data = data[:at] + data[at:stop] * (1 + third % 300) + data[stop:]
        elif kind == "splice":
            other = seeds[second % len(seeds)]
            data = data[:at] + other[third % (len(other) + 1) :]
        else:
            data = data[:at]
        data = data[:_LONGEST]
    return data


def _run(
    check: Callable[[bytes], None], strategy: st.SearchStrategy[bytes], examples: int
) -> None:
    deadline_s = time.monotonic() + seconds_to_fuzz()
    test = hypothesis.given(strategy)(check)
    if seconds_to_fuzz() <= 0:
        hypothesis.settings(max_examples=examples)(test)()
        return
    # It is meant to last: pytest's own timer would take it for one that hangs.
    faulthandler.cancel_dump_traceback_later()
    while time.monotonic() < deadline_s:
        seeded = hypothesis.seed(random.getrandbits(64))(hypothesis.given(strategy)(check))
        hypothesis.settings(max_examples=_EXAMPLES_AT_ONCE, derandomize=False, database=None)(
            seeded
        )()


def _keep(target: str, data: bytes) -> None:
    name = f"found-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
    with contextlib.suppress(OSError):  # a checkout that can't be written
        (CORPUS / target / name).write_bytes(data)
