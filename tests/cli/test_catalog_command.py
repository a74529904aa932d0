"""The command `catalog`: what is known goes out to a file and comes back from one."""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path

import pytest

from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands
from tests.support.broken_server import BrokenServer
from tests.support.entry_api import EntryApi

Said = pytest.CaptureFixture[str]


def run(*words: str | Path) -> int:
    return run_command(commands, [str(word) for word in words])


@pytest.fixture
def snapshot(api: EntryApi, tmp_path: Path, capsys: Said) -> Path:
    """What is known of the recorded entries, in a file."""
    file = tmp_path / "entries.jsonl.gz"
    assert run("catalog", "update", "-q") == 0
    assert run("catalog", "export", file) == 0
    assert capsys.readouterr().out == f"wrote 5 entries to {file}\n"
    return file


@pytest.fixture
def elsewhere(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: EntryApi
) -> None:
    """Another user, who knows nothing and reaches nobody."""
    monkeypatch.setenv("EMPIARFS_CACHE_DIR", str(tmp_path / "elsewhere"))
    api.asked.clear()
    api.fail_next("refused", 1000)


@pytest.mark.usefixtures("elsewhere")
def test_who_imports_it_searches_without_network(
    snapshot: Path, api: EntryApi, capsys: Said
) -> None:
    assert run("catalog", "import", snapshot) == 0
    assert capsys.readouterr().out == "took 5 of 5 entries; the file is new\n"

    assert run("search", "kappa") == 0
    assert run("info", "10934") == 0
    out, err = capsys.readouterr()
    assert out.count("EMPIAR-10934") >= 2
    assert (api.asked, err) == ([], "")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("is_unpacked", [False, True])
def test_it_may_come_from_a_url(
    snapshot: Path, archive: BrokenServer, capsys: Said, is_unpacked: bool
) -> None:
    data = snapshot.read_bytes()
    archive.put("shared/a b.gz", gzip.decompress(data) if is_unpacked else data)

    assert run("catalog", "import", archive.url + "shared/a%20b.gz") == 0
    assert "took 5 of 5 entries" in capsys.readouterr().out
    assert run("catalog", "import", archive.url + "shared/none.gz") == 1
    assert "the archive answers 404" in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
def test_a_password_in_a_url_is_not_shown(archive: BrokenServer, capsys: Said) -> None:
    archive.put("shared/x.gz", b"nothing")
    url = archive.url.replace("http://", "http://ada:secret@")

    for name in ("x.gz", "none.gz"):
        assert run("catalog", "import", f"{url}shared/{name}") == 1
        assert "secret" not in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("at", [0.0, 0.01, 0.5, 0.99])
def test_a_damaged_file_changes_nothing(snapshot: Path, capsys: Said, at: float) -> None:
    data = bytearray(snapshot.read_bytes())
    data[int(at * len(data))] ^= 0x55
    snapshot.write_bytes(data)

    assert run("catalog", "import", snapshot) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"empiarfs: error: {snapshot} is not imported: ")
    assert run("search", "--offline") == 1


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"\x1f\x8b", gzip.compress(b"x" * 1000), b"\0" * 99],
    ids=["empty", "json", "cut", "other", "zeros"],
)
def test_what_is_no_snapshot_is_refused(snapshot: Path, capsys: Said, data: bytes) -> None:
    snapshot.write_bytes(data)

    assert run("catalog", "import", snapshot) == 1
    assert "is not imported: " in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
def test_a_cut_file_changes_nothing(snapshot: Path, capsys: Said) -> None:
    plain = gzip.decompress(snapshot.read_bytes())
    last = plain.rindex(b"\n", 0, -1)
    snapshot.write_bytes(gzip.compress(plain[: last + 1]))

    assert run("catalog", "import", snapshot) == 1
    assert "it is cut off" in capsys.readouterr().err


def test_a_snapshot_of_another_api_is_refused(
    snapshot: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPIARFS_API_URL", "http://127.0.0.1:9/other/")

    assert run("catalog", "import", snapshot) == 1
    assert "it is about http://127.0.0.1:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["catalog"], "error: missing command\nhint: see `empiarfs catalog --help`"),
        (
            ["catalog", "export", "x.zst"],
            "error: x.zst: the file is packed by gzip, not as .zst says",
        ),
        (["catalog", "imprt", "x"], "error: no such command 'imprt'\nhint: did you mean import?"),
    ],
)
def test_wrong_words_are_told_in_short(capsys: Said, words: list[str], said: str) -> None:
    assert run(*words) == 2
    assert capsys.readouterr().err == f"empiarfs: {said}\n"


def test_the_younger_description_stays(snapshot: Path, capsys: Said) -> None:
    assert run("catalog", "import", snapshot) == 0
    assert capsys.readouterr().out == "took 0 of 5 entries; the file is new\n"


def test_an_export_takes_the_place_of_a_file_and_of_nothing_else(
    snapshot: Path, tmp_path: Path, capsys: Said
) -> None:
    before = set(tmp_path.iterdir())
    mask = os.umask(0o022)
    try:
        assert run("catalog", "export", snapshot, "-q") == 0
    finally:
        os.umask(mask)
    assert stat.S_IMODE(snapshot.stat().st_mode) == 0o644
    assert set(tmp_path.iterdir()) == before

    assert run("catalog", "export", tmp_path / "none" / "x") == 1
    assert "can't be written" in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
def test_an_update_that_fails_and_an_export_of_nothing_are_errors(
    tmp_path: Path, capsys: Said
) -> None:
    assert run("catalog", "update", "-q") == 1
    assert "not all entries could be asked for: the archive answers 403" in capsys.readouterr().err
    assert run("catalog", "export", tmp_path / "x") == 1
    assert "nothing is known" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
