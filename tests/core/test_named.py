"""Which files are meant by paths that were written down elsewhere."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.named import Found, NamedFiles


def found(paths: list[str], files: list[str]) -> Found:
    named = NamedFiles([paths])
    for file in files:
        named.note(file)
    return named.found()[0]


def test_the_name_and_what_stands_before_it_decide() -> None:
    files = ["1/data/a/x.tif", "1/data/b/x.tif", "1/data/b/y.tif"]

    assert found(["proj/b/x.tif"], files) == Found(("1/data/b/x.tif",), (), ())
    assert found(["/abs/y.tif"], files) == Found(("1/data/b/y.tif",), (), ())
    assert found([r"D:\frames\b\x.tif"], files) == Found(("1/data/b/x.tif",), (), ())
    assert found(["./b//x.tif"], files).files == ("1/data/b/x.tif",)


def test_what_is_not_there_is_missing() -> None:
    assert found(["a/z.tif", "a/X.tif", "/"], ["1/a/x.tif"]) == Found(
        (), ("a/z.tif", "a/X.tif", "/"), ()
    )


def test_all_that_fit_as_well_are_meant() -> None:
    files = ["1/a/x.tif", "1/b/x.tif"]

    assert found(["c/x.tif"], files) == Found(("1/a/x.tif", "1/b/x.tif"), (), ("c/x.tif",))


def test_a_file_is_left_to_the_path_that_fits_it_better() -> None:
    assert found(["run1/x.tif", "run2/x.tif"], ["1/data/run1/x.tif"]) == Found(
        ("1/data/run1/x.tif",), ("run2/x.tif",), ()
    )
    assert found(["x.tif", "run1/x.tif"], ["1/run1/x.tif", "1/run2/x.tif"]).files == (
        "1/run2/x.tif",
        "1/run1/x.tif",
    )


def test_a_number_that_an_import_put_before_the_name_is_no_part_of_it() -> None:
    uid = "012345678901234567890_x.tif"

    assert found([f"J1/imported/{uid}"], ["1/x.tif"]).files == ("1/x.tif",)
    assert found([uid], ["1/x.tif", f"1/{uid}"]).files == (f"1/{uid}",)
    assert found(["2022_x.tif"], ["1/x.tif"]).files == ()


def test_each_list_has_an_answer_of_its_own() -> None:
    named = NamedFiles([["a.tif"], ["a.tif", "b.tif"]])
    assert named.note("1/a.tif")
    assert not named.note("1/c.tif")
    named.note("1/a.tif")

    assert named.found() == [
        Found(("1/a.tif",), (), ()),
        Found(("1/a.tif",), ("b.tif",), ()),
    ]


_PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(st.lists(_PATHS, unique=True), st.lists(_PATHS, unique=True))
def test_files_are_the_nearest_there_are(paths: list[str], files: list[str]) -> None:
    def common(one: str, other: str) -> int:
        pairs = zip(one.split("/")[::-1], other.split("/")[::-1], strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), min(
            one.count("/"), other.count("/")) + 1)  # fmt: skip

    best = {path: max((common(path, file) for file in files), default=0) for path in paths}
    expected = {
        path: {
            file
            for file in files
            if best[path]
            and common(path, file) == best[path]
            # What another path is nearer to, and claims, is left to it.
            and not any(best[o] > best[path] and common(o, file) == best[o] for o in paths)
        }
        for path in paths
    }
    answer = found(paths, files)

    assert set(answer.files) == set().union(*expected.values())
    assert set(answer.missing) == {path for path in paths if not expected[path]}
    assert set(answer.ambiguous) == {path for path in paths if len(expected[path]) > 1}


def test_many_files_of_one_name_take_time_by_the_file() -> None:
    began_s = time.process_time()
    count = 20_000
    answer = found([f"p/{n}/x" for n in range(count)], [f"1/{n}/x" for n in range(1, count)])

    assert len(answer.files) == count - 1
    assert answer.missing == ("p/0/x",)
    # All pairs would be 400 million.
    assert time.process_time() - began_s < 20
