"""`empiarfs index --export` and `--import`: an index goes from one cache to another."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.apache import ApacheServer
from tests.support.commands import Commands

pytestmark = pytest.mark.apache

FORMATS = ["index.tsv", "index.tsv.gz", "index.parquet"]
MakeCommands = Callable[[str], Commands]


@pytest.fixture
def elsewhere(
    served: ApacheServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Callable[[], Commands]:
    """Return what lets all commands from then on run with a new, empty cache."""

    def make() -> Commands:
        return Commands(served.url, tmp_path / "elsewhere", monkeypatch, capfdbinary)

    return make


@pytest.fixture
def exported(commands: Commands, tmp_path: Path) -> Path:
    """An index of two entries with odd names, as TSV."""
    file = tmp_path / "index.tsv"
    done = commands("index", "10028", "10005", "--export", str(file))
    assert (done.status, done.err) == (0, "")
    return file


@pytest.mark.parametrize("name", FORMATS)
def test_an_index_is_taken_over_without_a_request_and_is_the_same(
    commands: Commands,
    elsewhere: Callable[[], Commands],
    served: ApacheServer,
    tmp_path: Path,
    name: str,
) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    file = tmp_path / name
    assert commands("index", "10028", "10005", "10005/data", "--export", str(file)).status == 0
    found = commands("find", "--json", "10028", "10005").json
    other = elsewhere()
    mark = served.mark()
    done = other("index", "--import", str(file))

    assert (done.status, done.err) == (0, "")
    assert done.lines[0].startswith("took ")
    assert served.requests_since(mark) == []
    assert other("find", "--json", "10028", "10005").json == found
    # What a look-up of the entries themselves costs.
    assert {each.name for each in served.requests_since(mark)} <= {""}


def test_a_table_is_one_that_others_can_read(exported: Path, served: ApacheServer) -> None:
    lines = exported.read_text(encoding="utf-8").splitlines()
    names, *rows = [line.split("\t") for line in lines]
    files = {row[0]: row for row in rows if not row[0].endswith("/")}
    path = "10028/data/sizes/10433536"

    assert names[:6] == ["path", "size", "modified", "url", "listed_time", "listed_size"]
    assert files[path][1] == "10433536"
    assert files[path][3] == f"{served.url}{path}"
    assert files[path][5] == "10M"
    assert names[6] == "role"
    assert files["10028/10028.xml"][6] == "metadata"
    assert files[path][6] == "unknown"
    assert len({row[0] for row in rows}) == len(rows)


def test_a_further_column_does_no_harm(exported: Path, elsewhere: Callable[[], Commands]) -> None:
    lines = exported.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    text = "".join("\t".join([*row[:6], "more", row[6], row[7]]) + "\n" for row in rows)
    exported.write_text(text, encoding="utf-8")

    assert elsewhere()("index", "--import", str(exported)).status == 0


def test_what_is_known_already_stays(commands: Commands, exported: Path) -> None:
    done = commands("index", "--import", str(exported))

    assert done.status == 0
    assert done.lines[0].startswith("took 0 directories of ")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: raw[:-20], "cut off"),
        (lambda raw: b"".join(raw.splitlines(True)[:-1]), "checksum differs"),
        (lambda raw: raw.replace(b"\t10433536\t", b"\t10433537\t"), "checksum differs"),
        (lambda raw: raw.replace(b"10028/data/sizes/972", b"10028/data/../972"), "no path"),
        (lambda raw: raw.replace(b"http://", b"http://elsewhere."), "it is about"),
        (lambda raw: b"a\tb\n" + raw, "no index of empiarfs"),
        (lambda raw: b"", "no index of empiarfs"),
        (lambda raw: b"\xff" + raw, "no text"),
        (lambda raw: b"x" * 100_000, "too long"),
        (lambda raw: gzip.compress(raw)[:-9], "end"),
        (lambda raw: b"\x1f\x8b" + raw, "not imported"),
        (lambda raw: b"PAR1" + raw, ""),
    ],
    ids=range(12),
)
def test_what_cannot_be_believed_is_one_line_and_nothing_of_it_is_taken(
    exported: Path,
    elsewhere: Callable[[], Commands],
    served: ApacheServer,
    spoil: Callable[[bytes], bytes],
    said: str,
) -> None:
    exported.write_bytes(spoil(exported.read_bytes()))
    other = elsewhere()
    done = other("index", "--import", str(exported))

    assert done.status in (1, 2)
    assert done.out == b""
    assert len(done.err.splitlines()) == 1
    assert said in done.err
    mark = served.mark()
    other("ls", "10028/data/sizes")
    assert "10028/data/sizes" in {each.name for each in served.requests_since(mark)}


def test_parquet_without_pyarrow_names_the_extra(
    commands: Commands, served: ApacheServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    mark = served.mark()
    done = commands("index", "10017", "--export", str(tmp_path / "x.parquet"))

    assert (done.status, served.requests_since(mark)) == (2, [])
    assert "empiarfs[parquet]" in done.err


@pytest.mark.parametrize("name", ["x.csv", "nowhere/x.tsv", "."])
def test_a_place_that_will_not_do_is_told_before_anything_is_asked(
    commands: Commands, served: ApacheServer, tmp_path: Path, name: str
) -> None:
    mark = served.mark()

    assert commands("index", "10017", "--export", str(tmp_path / name)).status == 2
    assert served.requests_since(mark) == []
