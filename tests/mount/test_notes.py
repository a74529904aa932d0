"""What EMPIAR says of entries, read in a real mount by the programs of every day.

Apache serves the archive, `tests.support.entry_api` EMPIAR's API with the recorded answers.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from empiarfs.config import DEFAULT_ARCHIVE_URL
from tests.mount.test_variants import require_library
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.entry_api import SAMPLES, EntryApi, sample_entries
from tests.support.mounts import Mount, mounted
from tests.support.pages import examples, shown_by
from tests.support.sandbox import sandbox
from tests.support.users import CHECKOUT, NOBODY, User, require_root
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

IN_AN_ENTRY = [
    "README.txt", "citation.bib", "citation.ris", "entry.json", "entry.xml", "files.tsv",
    "image-sets", "preview.png",
]  # fmt: skip
IN_THE_ARCHIVE = [
    "README.txt", "by-doi", "by-emdb", "by-type", "by-year", "refused-names.txt", "status.json",
]  # fmt: skip
MOVIES = "10934/data/CL44-1_20201106_111915"
NOBODY_THERE = "http://127.0.0.1:9/"


@dataclass
class Stage:
    """An archive, its API and what mounts them.

    Attributes:
        root: The served tree.
        server: Apache.
        api: EMPIAR's API.
    """

    root: Path
    server: ApacheServer
    api: EntryApi

    @contextmanager
    def mounted(
        self,
        *options: str,
        api_url: str | None = None,
        libfuse: Literal[2, 3] | None = None,
        user: User | None = None,
    ) -> Iterator[Mount]:
        """Mount it with its API, or another, as users have it who set nothing."""
        settings = [f"api_url={api_url or self.api.url}", "metadata=visible", *options]
        with mounted(self.server.url, options=settings, libfuse=libfuse, user=user) as mount:
            yield mount

    def fill(self, mount: Mount) -> None:
        """Let the store know all entries, as `empiarfs catalog update` does."""
        done = mount.command("catalog", "update", *self.where(mount))
        assert done.returncode == 0, done
        self.api.asked.clear()

    def where(self, mount: Mount) -> Sequence[str]:
        """Return the options of a command that is to know what the mount knows."""
        return (
            "--archive-url", self.server.url, "--api-url", self.api.url,
            "--cache-dir", str(mount.cache_dir),
        )  # fmt: skip


@pytest.fixture(scope="module")
def archive() -> Iterator[tuple[Path, ApacheServer]]:
    with tree.temporary_root() as root:
        for path in (f"{MOVIES}/a.mrc", f"{MOVIES}/b c.mrc", "11419/data/HeLa/slice.tif"):
            tree.write_file(root / path, path.encode() * 1000)
        tree.write_file(root / "10934/10934.xml", (SAMPLES / "10934.xml").read_bytes())
        tree.write_file(root / "10017/data/x.mrc", b"EMPIAR's API knows nothing of it")
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield root, server


@pytest.fixture
def stage(archive: tuple[Path, ApacheServer]) -> Iterator[Stage]:
    with EntryApi(sample_entries()) as api:
        yield Stage(*archive, api)


def out(mount: Mount, script: str, *, cwd: str | Path = "") -> str:
    """Return what a script of bash prints in the mount; it must succeed and not complain."""
    # The user of the mount changes the directory: root may not, in that of another user.
    script = f"cd {mount.path / cwd}; {script}"
    done = mount.run("bash", "-euo", "pipefail", "-c", script)
    assert (done.returncode, done.stderr) == (0, b""), f"{script}: {done}\n{mount.log[-3000:]}"
    return done.stdout.decode()


def complaint(mount: Mount, *command: str) -> str:
    """Return why a program fails in the mount."""
    done = mount.run("bash", "-c", f'cd {mount.path} && "$@"', "bash", *command)
    assert done.returncode != 0
    return done.stderr.decode()


@pytest.mark.parametrize(("libfuse", "as_plain"), [(2, True), (3, False)])
def test_what_is_known_of_an_entry_lies_beside_its_data(
    stage: Stage, libfuse: Literal[2, 3], as_plain: bool
) -> None:
    require_library(libfuse)
    if as_plain:
        require_root()
    with stage.mounted(libfuse=libfuse, user=NOBODY if as_plain else None) as mount:
        assert out(mount, "LC_ALL=C ls -A 10934/.empiar").split() == IN_AN_ENTRY
        assert out(mount, "LC_ALL=C ls EMPIAR-10934/.empiar").split() == IN_AN_ENTRY
        assert stage.api.asked == []

        told = json.loads(out(mount, "cat 10934/.empiar/entry.json"))
        assert (told["accession"], told["doi"]) == ("EMPIAR-10934", "10.6019/EMPIAR-10934")
        assert told["image_sets"][0]["pixel_width"] == 0.543
        asked = mount.command("info", "10934", "--json", *stage.where(mount))
        for key in told:
            assert json.loads(asked.stdout)[key] == told[key]
        assert out(mount, "head -1 10934/.empiar/citation.bib") == "@misc{EMPIAR-10934,\n"
        assert out(mount, "head -1 10934/.empiar/citation.ris") == "TY  - DATA\r\n"
        assert "by-emdb" not in out(mount, "cat 10934/.empiar/README.txt")
        assert stage.api.asked == ["GET 10934"]

        assert out(mount, "readlink 10934/.empiar/image-sets/1") == f"../../{MOVIES[6:]}\n"
        assert out(mount, "ls 10934/.empiar/image-sets/1/") == "a.mrc\nb c.mrc\n"
        assert out(mount, "readlink 10934/.empiar/entry.xml") == "../10934.xml\n"
        assert out(mount, "cat 10934/.empiar/entry.xml").encode() == (
            (SAMPLES / "10934.xml").read_bytes()
        )
        assert "Read-only" in complaint(mount, "touch", "10934/.empiar/new")
        assert "Read-only" in complaint(mount, "ln", "-s", "x", "10934/.empiar/new")


def test_sizes_are_exact_for_whoever_trusts_them(stage: Stage, tmp_path: Path) -> None:
    with stage.mounted() as mount:
        stage.fill(mount)
        names = out(mount, "find .empiar 10934/.empiar -type f").split()
        assert len(names) == 9
        for name in names:
            path = mount.path / name
            # The status is another one at each look: what was opened counts.
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                assert len(file.read()) == size > 0, name
                assert len(os.pread(file.fileno(), 10, size - 3)) == 3, name
        out(mount, f"rsync -a .empiar 10934/.empiar/ {tmp_path}/copy/")
        out(mount, f"cp -rL 10934/.empiar {tmp_path}/followed")
        out(mount, "tar -cf - .empiar 10934/.empiar | tar -tf - > /dev/null")
        out(mount, "tar -cf - 10934/.empiar | tar -df -")
        assert out(mount, "stat -c '%F %s' 10934/.empiar/entry.xml") == "symbolic link 12\n"

    copy, followed = tmp_path / "copy", tmp_path / "followed"
    assert (copy / "image-sets/1").readlink() == Path(f"../../{MOVIES[6:]}")
    assert (copy / ".empiar/by-emdb/EMD-12602").readlink() == Path("../../10934")
    assert (followed / "image-sets/1/a.mrc").read_bytes() == (
        stage.root / MOVIES / "a.mrc"
    ).read_bytes()
    assert (followed / "entry.xml").read_bytes() == (SAMPLES / "10934.xml").read_bytes()


def test_copies_of_an_entry_are_exact(stage: Stage, tmp_path: Path) -> None:
    with stage.mounted() as mount:
        out(mount, "cat 10934/.empiar/README.txt")

        entry = stage.root / "10934"
        for script in (
            "find . -print0 | sort -z",
            "ls -AR",
            "du -ab --apparent-size .",
            "tar c .",
        ):
            local = subprocess.run(
                ["bash", "-c", script], cwd=entry, check=True, capture_output=True
            )
            if script != "tar c .":
                assert out(mount, script, cwd="10934").encode() == local.stdout, script
        out(mount, f"diff -r {entry} 10934")
        out(mount, f"cp -r 10934 {tmp_path}/copied")
        out(mount, f"rsync -a 10934/ {tmp_path}/synchronised/")
        assert ".empiar" not in out(mount, "tar -cf - 10934 | tar -tf -")

        assert tree.differences(entry, mount.path / "10934") == []
    for name in ("copied", "synchronised"):
        assert not (tmp_path / name / ".empiar").exists()
    assert tree.differences(entry, tmp_path / "synchronised") == []


def test_the_archives_own_is_listed_and_leads_to_entries(stage: Stage) -> None:
    with stage.mounted() as mount:
        assert out(mount, "LC_ALL=C ls -A") == ".empiar\n10017\n10934\n11419\n"
        assert out(mount, "LC_ALL=C ls .empiar").split() == IN_THE_ARCHIVE
        assert out(mount, "ls .empiar/by-emdb") == ""
        assert "empiarfs catalog update" in out(mount, "cat .empiar/README.txt")
        stage.fill(mount)
    with stage.mounted() as mount:
        stage.fill(mount)

        assert out(mount, "readlink .empiar/by-emdb/EMD-12602") == "../../10934\n"
        assert out(mount, "readlink .empiar/by-year/2022/10934") == "../../../10934\n"
        assert out(mount, "ls .empiar/by-type") == "EMDB\nFIB-SEM\n"
        for link in (
            "by-doi/10.6019/EMPIAR-10934",
            "by-doi/10.1038/s41467-021-26251-6",
            "by-emdb/EMD-12602",
            "by-type/EMDB/10934",
        ):
            assert out(mount, f"ls .empiar/{link}/data/") == f"{MOVIES[11:]}\n"
        assert "No such file" in complaint(mount, "ls", ".empiar/by-emdb/EMD-1")
        assert "No such file" in complaint(mount, "ls", ".empiar/by-nothing")
        assert stage.api.asked == []


def test_a_walk_over_the_whole_mount_asks_the_api_nothing(stage: Stage) -> None:
    with stage.mounted() as mount:
        stage.fill(mount)
        found = out(mount, "find . -ls | wc -l")
        out(
            mount, "ls -laR . > /dev/null; du -s . > /dev/null; rsync -a . --list-only > /dev/null"
        )
        out(mount, "for entry in 1*; do stat $entry/.empiar; ls $entry/.empiar; done")

        assert int(found) > 30
        assert stage.api.asked == []
        assert mount.status()["counters"]["document_requests"] == 0


def test_what_empiar_does_not_know_is_absent_and_silence_is_an_error(stage: Stage) -> None:
    with stage.mounted() as mount:
        assert "No such file" in complaint(mount, "cat", "10017/.empiar/entry.json")
        assert "No such file" in complaint(mount, "ls", "10017/.empiar/image-sets")
        assert "No such file" in complaint(mount, "ls", "10999/.empiar")
        assert "No such file" in complaint(mount, "ls", "10934/data/.empiar")
        assert stage.api.asked == ["GET 10017"]
        assert "path\tsize\tmodified\turl\n" in out(mount, "cat 10017/.empiar/files.tsv")

    with stage.mounted(api_url=NOBODY_THERE) as mount:
        mount.warnings_expected = True
        assert "Input/output" in complaint(mount, "cat", "10017/.empiar/entry.json")
        assert "Input/output" in complaint(mount, "ls", "10017/.empiar/image-sets")
        # The file beside the data is asked for what the API doesn't answer.
        told = json.loads(out(mount, "cat 10934/.empiar/entry.json"))
        assert (told["source"], told["doi"]) == ("xml", "10.6019/EMPIAR-10934")
        assert out(mount, "cat 10017/data/x.mrc").startswith("EMPIAR's API")


def test_hidden_ones_are_reachable_and_switched_off_ones_are_not(stage: Stage) -> None:
    with stage.mounted("metadata=hidden") as mount:
        assert out(mount, "ls -A") == "10017\n10934\n11419\n"
        assert out(mount, "LC_ALL=C ls .empiar").split() == IN_THE_ARCHIVE
        assert out(mount, "LC_ALL=C ls 10934/.empiar").split() == IN_AN_ENTRY
    with stage.mounted("metadata=off") as mount:
        assert out(mount, "ls -A; ls 10934 > /dev/null") == "10017\n10934\n11419\n"
        before = len(stage.server.accesses())
        for path in (".empiar", "10934/.empiar", "10934/.empiar/entry.json"):
            assert "No such file" in complaint(mount, "ls", path)
        assert len(stage.server.accesses()) == before
        assert stage.api.asked == []


def test_a_mount_of_one_entry_has_it_at_its_root(stage: Stage) -> None:
    with sandbox() as here:
        settings = f"archive_url={stage.server.url},api_url={stage.api.url}"
        done = here.run("empiar:10934", here.point, "-o", settings)
        assert done.returncode == 0, done

        assert sorted(os.listdir(here.point)) == ["10934.xml", "data"]
        notes = here.point / ".empiar"
        assert sorted(os.listdir(notes)) == IN_AN_ENTRY
        assert json.loads((notes / "entry.json").read_bytes())["number"] == 10934
        assert sorted(os.listdir(notes / "image-sets/1")) == ["a.mrc", "b c.mrc"]
        assert (notes / "entry.xml").read_bytes() == (SAMPLES / "10934.xml").read_bytes()
        here.run("umount", here.point)
        here.wait_until_gone()


def test_the_status_in_the_mount_is_the_one_that_the_command_prints(stage: Stage) -> None:
    with stage.mounted() as mount:
        path = mount.path / ".empiar/status.json"
        before = json.loads(path.read_bytes())
        first = path.open("rb", buffering=0)
        (mount.path / MOVIES / "a.mrc").read_bytes()
        with first:
            size = os.fstat(first.fileno()).st_size
            held = first.read()
        # For a moment an open gets what was shown before it.
        wait_until(lambda: b'"read_bytes": 0,' not in path.read_bytes(), 10)
        after = json.loads(path.read_bytes())
        printed = mount.status()

        assert len(held) == size
        assert json.loads(held)["pid"] == mount.pid
        assert after["counters"]["read_bytes"] > before["counters"]["read_bytes"]
        assert set(after) == set(printed)
        assert (after["state"], after["mount_point"]) == ("mounted", str(mount.path))
        assert after["pid"] == printed["pid"] == mount.pid
        assert stat.S_ISREG(path.stat().st_mode)
        assert (mount.path / ".empiar/refused-names.txt").read_text().startswith("# names")


def test_the_list_of_files_says_what_is_known_and_how_complete_that_is(stage: Stage) -> None:
    with stage.mounted() as mount:
        assert "1 directories have never been listed here" in out(
            mount, "cat 10934/.empiar/files.tsv"
        )
        out(mount, "ls -lR 11419 > /dev/null")
        head, columns, line = out(mount, "cat 11419/.empiar/files.tsv").splitlines()
        size = (stage.root / "11419/data/HeLa/slice.tif").stat().st_size

        assert head == (
            "# EMPIAR-11419: 1 files, the sizes of 1 of them; all directories have been listed"
        )
        assert columns == "path\tsize\tmodified\turl"
        path, told, modified, url = line.split("\t")
        assert (path, int(told)) == ("data/HeLa/slice.tif", size)
        assert modified.startswith("2022-02-07T")
        assert url == f"{stage.server.url}11419/data/HeLa/slice.tif"
        assert stage.api.asked == []


def test_commands_ask_where_the_mount_asks_that_a_path_lies_in(stage: Stage) -> None:
    with stage.mounted() as mount:
        told = mount.command("info", mount.path / "10934")
        chosen = mount.command("ls", mount.path / "10934", "--image-set", "1")

    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("EMPIAR-10934: Cryo-EM multiframe micrographs")
    assert (chosen.returncode, chosen.stderr) == (0, "")
    assert stage.api.asked == ["GET 10934"]  # and kept in the mount's cache


PAGE = CHECKOUT / "docs" / "metadata.md"


def test_the_examples_of_the_page_print_what_it_shows(stage: Stage) -> None:
    real = DEFAULT_ARCHIVE_URL
    with stage.mounted() as mount:
        known = examples(PAGE)
        assert len(known) > 10
        for command, printed in known:
            if command.startswith("empiarfs "):
                done = mount.command(*command.split()[1:], *stage.where(mount))
                shown = done.stdout
            else:
                shown = out(mount, f"export LC_ALL=C; {command.replace('~/empiar', '.')}")
            shown = shown.replace(stage.server.url, real)
            assert shown_by(printed, shown), f"{command} printed\n{shown}"
