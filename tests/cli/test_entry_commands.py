"""The commands about entries, against a stand-in of EMPIAR."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands
from tests.support.broken_server import BrokenServer, Fault
from tests.support.entry_api import EntryApi, sample_entries

EMDB_HEADER = "pub/databases/emdb/structures/EMD-12602/header/emd-12602.xml"
Said = pytest.CaptureFixture[str]


def run(*words: str) -> int:
    return run_command(commands, words)


def test_info_says_what_an_entry_is(api: EntryApi, capsys: Said) -> None:
    assert run("info", "EMPIAR-10934") == 0
    shown = capsys.readouterr().out

    assert shown.startswith("EMPIAR-10934: Cryo-EM multiframe micrographs of human Pol kappa")
    for line in (
        "  size:         1.9 TB",
        "  released:     2022-02-07",
        "  related:      EMD-12602",
        "  acquisition:  300 kV, Cs 2.7 mm, 46.6 e/Å², FEI TITAN KRIOS, GATAN K3 (6k x 4k)"
        " (as the header of EMD-12602 says)",
        "  directory:    10934/data/CL44-1_20201106_111915",
        "  category:     micrographs - multiframe",
        "  format:       TIFF, unsigned byte",
        "  images:       3889 of 45 frames, 11520 × 8184 pixels",
        "  pixel size:   0.543 Å",
    ):
        assert f"\n{line}\n" in shown
    assert "\nfrom EMPIAR's API, " in shown


def test_info_prints_json(api: EntryApi, capsys: Said) -> None:
    assert run("info", "10.6019/EMPIAR-11419", "--json") == 0
    told = json.loads(capsys.readouterr().out)

    assert (told["type"], told["accession"], told["number"]) == ("entry", "EMPIAR-11419", 11419)
    assert (told["target"], told["problem"]) == ("10.6019/EMPIAR-11419", None)
    assert told["url"] == "https://www.ebi.ac.uk/empiar/EMPIAR-11419/"
    assert told["image_sets"][0]["pixel_width"] is None
    assert told["acquisitions"] == []

    assert run("info", "10934", "--json") == 0
    [acquisition] = json.loads(capsys.readouterr().out)["acquisitions"]
    assert (acquisition["emdb"], acquisition["voltage"]) == ("EMD-12602", 300.0)


@pytest.mark.parametrize("number", sample_entries())
def test_info_prints_every_recorded_entry(api: EntryApi, capsys: Said, number: int) -> None:
    assert run("info", str(number), "-v") == 0

    shown = capsys.readouterr().out
    assert "None" not in shown
    assert shown.count("\nimage set ") == len(sample_entries()[number]["imagesets"])


def test_info_tells_entries_and_files_side_by_side(
    api: EntryApi, archive: BrokenServer, capfd: Said
) -> None:
    archive.put("empiar/world_availability/10934/data/notes.star", b"data_x\n")
    words = ("info", "11419", "10934/data/notes.star", "10003")

    assert run(*words) == 1
    out, err = capfd.readouterr()
    assert out.startswith("EMPIAR-11419: ")
    assert "\n\nfile:       10934/data/notes.star\n" in out
    assert err.startswith("empiarfs: error: 10003: ")

    assert run(*words, "--json") == 1
    told = json.loads(capfd.readouterr().out)
    assert [each["type"] for each in told] == ["entry", "file"]


def test_verbose_says_what_went_on(api: EntryApi, archive: BrokenServer, capsys: Said) -> None:
    archive.fault(EMDB_HEADER, Fault.answer(404), times=1)

    assert run("info", "10934", "-v") == 0
    out, err = capsys.readouterr()
    assert "acquisition:" not in out
    assert err.startswith("empiarfs: info: entries: the header of EMD-12602: the archive answers")

    assert run("info", "10934", "-v") == 0
    out, err = capsys.readouterr()
    assert "acquisition:" in out
    assert err == ""


def test_a_failure_is_told_in_its_place(api: EntryApi, archive: BrokenServer) -> None:
    archive.put("empiar/world_availability/10934/data/x.star", b"data_x\n")
    words = ["info", "10934/data/x.star", "10003", "11419"]
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip

    places = [done.stdout.index(each) for each in ("blocks:", "error: 10003", "EMPIAR-11419")]
    assert places == sorted(places)


def test_info_asks_once_and_then_needs_no_network(
    api: EntryApi, archive: BrokenServer, capsys: Said
) -> None:
    run("info", "10934")
    asked = len(archive.requests)
    run("info", "10934")
    assert (api.asked, len(archive.requests)) == (["GET 10934"], asked)
    run("info", "10934", "--refresh")
    assert len(api.asked) == 2

    api.fail_next("refused", 5)
    assert run("info", "10934", "--offline") == 0
    assert len(api.asked) == 2
    assert capsys.readouterr().err == ""


def test_info_says_that_what_it_knows_is_old(
    api: EntryApi, archive: BrokenServer, capsys: Said
) -> None:
    run("info", "11419")
    capsys.readouterr()
    api.fail_next("refused", 5)

    assert run("info", "11419", "--refresh") == 0
    out, said = capsys.readouterr()

    assert out.startswith("EMPIAR-11419: ")
    assert said.startswith("empiarfs: note: this is new: the archive answers 403")


def test_info_takes_the_xml_if_the_api_fails(api: EntryApi, capsys: Said) -> None:
    api.fail_next("refused", 5)

    assert run("info", "10934") == 0
    assert "\nfrom the entry's XML file, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["info", "10003"], 1, "empiarfs: error: 10003: EMPIAR knows no entry EMPIAR-10003 ["),
        (
            ["info", "10934", "--offline"],
            1,
            "empiarfs: error: 10934: not known here, and nobody is to be asked",
        ),
        (["info", "nothing"], 2, "'nothing' is neither a place in the archive, "),
        (["info", "10934/data/a.mrc", "--offline"], 2, "10934/data/a.mrc is none"),
        (["cite", "empiar"], 2, "'empiar' is no entry"),
        (["info", "10934", "--offline", "--refresh"], 2, "contradict"),
        (["cite", "10934", "--ris", "--bibtex"], 2, "contradict"),
        (["open", "nothing"], 2, "'nothing' is neither a place in the archive, "),
    ],
)
def test_what_cannot_be_is_one_line_on_stderr(
    api: EntryApi, capsys: Said, words: list[str], status: int, said: str
) -> None:
    assert run(*words) == status

    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) <= 2


def test_cite_prints_lines_bibtex_and_ris(api: EntryApi, capsys: Said) -> None:
    assert run("cite", "10934") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "https://doi.org/10.6019/EMPIAR-10934" in lines[0]

    assert run("cite", "10934", "--bibtex") == 0
    assert capsys.readouterr().out.startswith("@misc{EMPIAR-10934,\n")
    assert run("cite", "10934/data/a.mrc", "--ris") == 0
    assert capsys.readouterr().out.startswith("TY  - DATA")


def test_open_prints_the_page_and_asks_nobody(api: EntryApi, capsys: Said) -> None:
    assert run("open", "empiar:10934") == 0
    assert run("open", "10934", "--print", "-q") == 0

    page = "https://www.ebi.ac.uk/empiar/EMPIAR-10934/\n"
    assert capsys.readouterr().out == page * 2
    assert api.asked == []
