"""The command `search`, against a stand-in of EMPIAR."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands
from tests.support.broken_server import BrokenServer
from tests.support.entry_api import EntryApi, many_entries
from tests.support.waiting import wait_until

Said = pytest.CaptureFixture[str]


def run(*words: str) -> int:
    return run_command(commands, words)


def lines(capsys: Said) -> list[str]:
    """Return the accession codes of the table that was printed."""
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]


def test_the_first_search_fetches_all_and_later_ones_need_no_network(
    api: EntryApi, archive: BrokenServer, capsys: Said
) -> None:
    assert run("search", "tomography", "-q") == 0
    assert set(lines(capsys)) == {"EMPIAR-10988", "EMPIAR-11561", "EMPIAR-12104"}
    assert len(api.asked) == 1

    asked = len(archive.requests)
    assert run("search", "Lancey") == 0
    assert capsys.readouterr() == (
        "ENTRY         RELEASED      SIZE  TITLE\n"
        "EMPIAR-10934  2022-02-07  1.9 TB  Cryo-EM multiframe micrographs of human Pol kappa "
        "complexed with DNA and monoubiquitylated PCNA\n",
        "",
    )
    assert (len(api.asked), len(archive.requests)) == (1, asked)


def test_nothing_found_is_an_empty_answer(api: EntryApi, capsys: Said) -> None:
    assert run("search", "xyzzy", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert run("search", "xyzzy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["xyzzy"], []),
        (["--type", "fibsem"], ["no entry has --type 'fibsem'; there are EMDB, FIB-SEM"]),
        (["kappa", "--format", "MRC"], []),
        (["kappa", "--format", "EER"], ["no entry has --format 'EER'; there are mrc, tiff"]),
        (
            ["--category", "tomo", "--offline"],
            [
                "no entry has --category 'tomo'; there are micrographs - multiframe, "
                "micrographs - single frame, reconstructed volumes, tilt series",
                "searched 5 entries; their list is new",
            ],
        ),
    ],
)
def test_what_there_is_instead_is_said(
    api: EntryApi, capsys: Said, words: list[str], said: list[str]
) -> None:
    run("search", "kappa", "-q")
    capsys.readouterr()

    assert run("search", *words) == 0
    out, err = capsys.readouterr()
    expected = ["none of 5 entries fits", *said]
    assert (out, err.splitlines()) == ("", [f"empiarfs: note: {each}" for each in expected])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--type", "fib-sem"], [11419]),
        (["--emdb", "12602"], [10934]),
        (["--min-size", "300G"], [10988, 10934]),
        (["--max-size", "6.8G"], [11419]),
        (["--pixel", "..1"], [10934]),
        (["--released", "2022-02..2022-11", "--category", "volumes"], [10988]),
        (["--limit", "2"], [12104, 11561]),
    ],
)
def test_filters_are_understood(
    api: EntryApi, capsys: Said, words: list[str], found: list[int]
) -> None:
    assert run("search", "-q", *words) == 0

    assert lines(capsys) == [f"EMPIAR-{number}" for number in found]


def test_json_says_what_was_searched(api: EntryApi, capsys: Said) -> None:
    assert run("search", "kappa", "--json", "-q") == 0
    told = json.loads(capsys.readouterr().out)

    assert (told["known"], told["listed"], told["problem"]) == (5, 5, None)
    [entry] = told["entries"]
    assert (entry["accession"], entry["released"]) == ("EMPIAR-10934", "2022-02-07")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--released", "soon"], 2, "--released: 'soon' is no date"),
        (["--released", "2024..2023"], 2, "ends before it begins"),
        (["--pixel", "1..0"], 2, "--pixel: '1..0' is no number"),
        (["--emdb", "7nv0"], 2, "--emdb: '7nv0' is no entry of EMDB"),
        (["--max-size", "big"], 2, "--max-size: "),
        (["--min-size", "2G", "--max-size", "1G"], 2, "--min-size is more than --max-size"),
        (["--limit", "0"], 2, "--limit"),
        (["--offline"], 1, "nothing is known of EMPIAR's entries here"),
    ],
)
def test_what_cannot_be_is_one_line_on_stderr(
    api: EntryApi, capsys: Said, words: list[str], status: int, said: str
) -> None:
    assert run("search", *words) == status

    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) <= 2


def test_an_api_that_refuses_leaves_the_answer_to_what_is_known(
    api: EntryApi, capsys: Said
) -> None:
    api.fail_next("refused")
    assert run("search", "kappa") == 1
    assert "nothing is known of EMPIAR's entries here: the archive answers 403" in (
        capsys.readouterr().err
    )
    run("search", "kappa", "-q")
    capsys.readouterr()

    api.fail_next("refused")
    assert run("search", "kappa", "--refresh") == 0
    out, err = capsys.readouterr()
    assert "EMPIAR-10934" in out
    assert "note: searched 5 entries: the archive answers 403" in err


def test_who_did_not_answer_is_asked_again_only_on_demand(
    api: EntryApi, archive: BrokenServer, capsys: Said
) -> None:
    assert run("search", "kappa", "-q") == 0
    archive.put("empiar/world_availability/13000/a", b"")
    api.fail_next("refused")
    assert run("search", "kappa", "-q", "--refresh") == 0
    api.entries[13000] = api.entries[10934]
    asked = len(api.asked)
    capsys.readouterr()

    assert run("search", "kappa") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert "5 entries of 6: EMPIAR didn't answer 0 minutes ago; --refresh asks again" in err
    assert len(api.asked) == asked

    assert run("catalog", "update", "-q") == 0
    assert run("search", "kappa", "-q") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.slow
def test_an_interrupted_first_search_answers_from_what_has_come(
    api: EntryApi, archive: BrokenServer
) -> None:
    for number, fields in many_entries(250, first=13_000).items():
        api.entries[number] = fields
        archive.put(f"empiar/world_availability/{number}/a", b"")
    api.silent_after = 1
    words = [sys.executable, "-m", "empiarfs", "search", "kappa"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(api.asked) >= 2, 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0, err
    assert "EMPIAR-10934" in out
    assert "searched 100 entries of 255: interrupted; the next search goes on" in err
    api.silent_after = None
    assert run("search", "kappa", "-q") == 0
    assert sum(each.startswith("POST 10934") for each in api.asked) == 1


def test_a_terminal_shows_a_bar_and_folds_titles(api: EntryApi) -> None:
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "empiarfs", "search", "kappa"]
    environment = os.environ | {"COLUMNS": "60", "TERM": "xterm"}
    with subprocess.Popen(words, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        shown = b""
        # Linux answers with an error once nobody has the other end.
        with contextlib.suppress(OSError):
            while part := os.read(leader, 4096):
                shown += part
        assert process.wait(20) == 0
    os.close(leader)

    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown).decode()
    assert "entries" in text.split("ENTRY")[0]
    assert "note:" not in text
    table = text[text.index("ENTRY") :].splitlines()
    assert len(table) > 2
    assert all(len(line.rstrip()) <= 60 for line in table)
