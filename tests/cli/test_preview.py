"""`empiarfs preview`: where pictures go, what is said, how it ends."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from PIL import Image

from empiarfs.cli.graphics import protocol_of, shown
from tests.support import pictures, tree
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import Commands
from tests.support.interrupted import INTERRUPTED
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

STACK = pictures.STACK
NAME = "EMPIAR-10934_data_stack.mrcs.png"
PNG = b"\x89PNG\r\n\x1a\n"
_TERMINALS = ("TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "TMUX")


@pytest.fixture(scope="module")
def files() -> Iterator[dict[str, bytes]]:
    with tree.temporary_root() as root:
        pictures.make_images(root)
        found = [path for path in root.rglob("*") if path.is_file()]
        yield {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[BrokenServer]:
    with BrokenServer(files) as server:
        yield server


@pytest.fixture
def preview(
    server: BrokenServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Commands:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in _TERMINALS:
        monkeypatch.delenv(name, raising=False)
    return Commands(server.url, tmp_path, monkeypatch, capfdbinary)


def test_a_picture_is_written_beside_with_a_name_like_the_targets(preview: Commands) -> None:
    done = preview("preview", STACK, "--pixels", "100", "--sample", "4")

    assert (done.status, done.lines, done.err) == (0, [NAME], "")
    assert Path(NAME).read_bytes().startswith(PNG)
    assert os.listdir() == [NAME]


def test_a_file_that_is_there_is_neither_overwritten_nor_fetched_for(
    preview: Commands, server: BrokenServer
) -> None:
    Path(NAME).write_text("mine")
    done = preview("preview", STACK)

    assert (done.status, done.out) == (1, b"")
    assert done.err == (
        f"empiarfs: error: {NAME} is there already; --overwrite replaces it, "
        "-o names another file\n"
    )
    assert server.requests == []
    assert Path(NAME).read_text() == "mine"
    assert preview("preview", STACK, "--overwrite").status == 0
    assert Path(NAME).read_bytes().startswith(PNG)


def test_a_picture_can_be_piped(preview: Commands) -> None:
    done = preview("preview", STACK, "-o", "-", "--sample", "1", "--pixels", "64")

    assert done.status == 0
    assert done.out.startswith(PNG)
    assert os.listdir() == []


def test_a_sheet_has_a_picture_of_each_file_and_tells_what_was_read(preview: Commands) -> None:
    done = preview("preview", "EMPIAR-10934", "-v", "--pixels", "64")
    said = re.fullmatch(
        r"empiarfs: note: read ([\d.]+) MB of ([\d.]+) MB; ([\d.]+) MB fetched by this process\n",
        done.err,
    )

    assert done.lines == ["EMPIAR-10934.png"]
    assert said is not None
    assert float(said[1]) < float(said[2])


def test_what_is_no_image_is_a_note_and_what_can_not_be_had_a_failure(
    preview: Commands, server: BrokenServer
) -> None:
    server.put("10934/data/broken.mrc", b"no header")
    both = ("10934/data/broken.mrc", STACK, "--pixels", "64")
    odd = preview("preview", *both, "-o", "odd.png")
    quiet = preview("preview", "-q", *both)
    server.put("10934/data/other.mrcs", server.files[STACK])
    server.fault("10934/data/other.mrcs", Fault.answer(403), times=1000)
    failed = preview("preview", "10934/data/other.mrcs", STACK, "-o", "failed.png")

    assert (odd.status, quiet.status, failed.status) == (0, 0, 1)
    assert odd.err == (
        "empiarfs: note: 10934/data/broken.mrc: text, and no image that can be read\n"
    )
    assert (quiet.out, quiet.err) == (b"", "")
    assert failed.err.startswith("empiarfs: error: 10934/data/other.mrcs: ")
    assert len(failed.err.splitlines()) == 1
    assert Path("failed.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["10934/data/nothing.mrc"], 1, "there is no such file"),
        (["10934/data/particles.star"], 1, "there is no such file"),
        (["empiar"], 2, "name an entry"),
        (["what"], 2, "neither a place in the archive"),
        ([STACK, "--pixels", "5"], 2, "--pixels"),
        ([STACK, "--bytes", "some"], 2, "some"),
        ([STACK, "--bytes", "1K"], 2, "--bytes"),
        ([STACK, "--role", "nonsense"], 2, "nonsense"),
        ([STACK, "-o", "no/such/x.png"], 1, "there is no directory"),
        ([STACK, "-o", "."], 1, "is a directory"),
        ([STACK, "--show"], 2, "isn't known to show pictures"),
        ([STACK, "--show", "-o", "-"], 2, "don't go together"),
        ([pictures.MOVIE, "--gain", STACK], 1, "64 × 64 pixels"),
        ([], 2, "missing argument"),
    ],
)
def test_what_can_not_be_done_is_one_line(
    preview: Commands, words: list[str], status: int, said: str
) -> None:
    done = preview("preview", *words)
    lines = [line for line in done.err.splitlines() if not line.startswith("hint: ")]

    assert (done.status, len(lines), done.out) == (status, 1, b"")
    assert lines[0].startswith("empiarfs: error: ")
    assert said in lines[0]
    assert os.listdir() == []


def test_without_pillow_it_is_said_what_to_install(preview: Commands) -> None:
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from empiarfs.cli import main\n"
        "sys.argv[0] = 'empiarfs'\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "preview", STACK],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("empiarfs: error: Pillow is missing: pip install 'empiarfs[preview]'\n")


def test_ctrl_c_ends_it_while_the_archive_is_silent(
    preview: Commands, server: BrokenServer
) -> None:
    server.fault(lambda r: r.method == "GET" and r.path == STACK, Fault.silence(), times=1000)
    with subprocess.Popen(
        [sys.executable, "-m", "empiarfs", "preview", STACK],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_until(lambda: any(r.method == "GET" and r.path == STACK for r in server.requests), 30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode in INTERRUPTED
    assert out == b""
    assert b"Traceback" not in err
    assert os.listdir() == []


# -- terminals -------------------------------------------------------------------------------


def test_kitty_is_shown_the_picture_in_pieces(
    preview: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    done = preview("preview", STACK, "--show")
    pieces = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", done.out)

    assert pieces[0][0] == b"a=T,f=100,m=1"
    assert {keys for keys, _ in pieces[1:-1]} <= {b"m=1"}
    assert pieces[-1][0] == b"m=0"
    assert max(len(text) for _, text in pieces) <= 4096
    image = Image.open(io.BytesIO(base64.b64decode(b"".join(text for _, text in pieces))))
    assert image.format == "PNG"
    assert image.width <= 800
    # Only shown.
    assert os.listdir() == []


def test_sixels_have_the_greys_of_the_picture() -> None:
    image = Image.fromarray(numpy.array([[0, 255, 0, 255, 255]] * 7, "u1"))
    data = shown(image, "sixel")

    assert data.startswith(b'\x1bPq"1;1;5;7#0;2;0;0;0')
    bands = data[data.rindex(b"#15;2;100;100;100") + len(b"#15;2;100;100;100") :]
    # Six rows, and the seventh: which columns are black, which are white.
    assert bands == b"#0~?~??$#15?~?~~$-#0@?@??$#15?@?@@$-\x1b\\\n"


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm", "TERM_PROGRAM": "mintty"}, "sixel"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux,1,0"}, None),
        ({"TERM": "dumb"}, None),
        ({}, None),
    ],
)
def test_terminals_are_known_by_their_environment(
    environment: dict[str, str], protocol: str | None
) -> None:
    assert protocol_of(environment) == protocol


def test_nothing_is_shown_where_the_output_is_no_terminal(
    preview: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    done = preview("preview", STACK, "--sample", "1")

    assert done.out.decode() == f"{NAME}\n"
