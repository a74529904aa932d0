"""What a user would do with a mount, shown step by step and checked at each.

Every number that is printed was measured in the run that prints it: bytes and requests are
the server's counts before and after a step. Every file and image that is read through the
mount is compared with the original.

Threading: used from one thread.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt

from empiarfs.demo import archive
from empiarfs.demo.stage import Stage
from empiarfs.demo.transcript import Transcript, amount

FRAME = 7  # counted from 0, as numpy does
PARTICLE = 42  # row of the STAR file, counted from 0
# Nothing answers there, so that entries are described by the XML files beside their data.
_NO_API = "http://127.0.0.1:9/"
_MICROGRAPH = f"{archive.MICROGRAPH_DIRECTORY}/{archive.micrograph_name(3)}"

Pixels = npt.NDArray[Any]


class Walkthrough:
    """The steps, to be called in the order in which they stand; not thread-safe.

    Each raises `MountError` if a command fails or a comparison doesn't hold.
    """

    def __init__(self, stage: Stage, transcript: Transcript) -> None:
        self._stage = stage
        self._transcript = transcript

    def mount(self) -> None:
        """Mount the served archive."""
        self._transcript.title("Mount the archive")
        self._mount()
        self._transcript.wire()

    def look_around(self) -> None:
        """List entries and files, with their exact sizes."""
        step = self._transcript
        step.title("Look around: names, exact sizes, times")
        self._run("ls mnt")
        listed = self._run(f"ls -ln mnt/{archive.MICROGRAPH_DIRECTORY}", most=5)
        self._run('ls "mnt/11419/data/Raw SEM images"', most=2)
        step.wire()
        names = [line.split()[-1] for line in listed.splitlines()[1:]]
        sizes = [int(line.split()[4]) for line in listed.splitlines()[1:]]
        originals = sorted((self._stage.archive / archive.MICROGRAPH_DIRECTORY).iterdir())
        step.checked(
            f"all {len(names)} names and sizes are those of the archive",
            names == [path.name for path in originals]
            and sizes == [path.stat().st_size for path in originals],
        )

    def read_header(self) -> None:
        """Read the header of one micrograph with mrcfile."""
        step = self._transcript
        step.title("Read the header of a micrograph")
        step.python(
            [
                "import mrcfile",
                f'name = "mnt/{_MICROGRAPH}"',
                "mrc = mrcfile.open(name, header_only=True)",
                "print(mrc.header.nx, mrc.header.ny, mrc.voxel_size.x)",
            ],
            ['open("result", "wb").write(mrc.header.tobytes())'],
        )
        step.wire()
        original = self._original(_MICROGRAPH)
        step.line(f"  the file has {amount(original.stat().st_size)}")
        header = original.read_bytes()[:1024]
        step.checked("the header is the original's", self._result() == header)

    def read_frame(self) -> None:
        """Read one frame of a movie through a memory map."""
        step = self._transcript
        step.title(f"Take one frame out of a movie of {archive.FRAMES}")
        step.python(
            [
                "import mrcfile",
                f'movie = mrcfile.mmap("mnt/{archive.MOVIE_STACK}")',
                f"frame = movie.data[{FRAME}]",
                "print(movie.data.shape, frame.mean())",
            ],
            ['open("result", "wb").write(frame.tobytes())'],
        )
        step.wire()
        original = self._original(archive.MOVIE_STACK)
        step.line(f"  the movie has {amount(original.stat().st_size)}")
        frame = _section(original, FRAME)
        step.checked("the frame is the original's", self._result() == frame.tobytes())

    def read_particle(self) -> None:
        """Follow a reference in a STAR file to one picked particle."""
        step = self._transcript
        step.title("Follow a STAR file to one picked particle")
        data = "mnt/10017/data"
        step.python(
            [
                "import mrcfile",
                f'lines = open("{data}/particles/particles.star").read().splitlines()',
                f'x, y, image, micrograph, _ = [l for l in lines if "@" in l][{PARTICLE}].split()',
                'number, stack = image.split("@")',
                f'particle = mrcfile.mmap("{data}/" + stack).data[int(number) - 1]',
                "print(image, particle.shape, particle.std())",
            ],
            [
                'open("result", "wb").write(particle.tobytes())',
                'open("place", "w").write(f"{x} {y} {micrograph}")',
            ],
        )
        step.wire()
        x, y, micrograph = (self._stage.work / "place").read_text().split()
        pixels = _section(self._original(f"10017/data/{micrograph}"), 0)
        box = archive.box_around(pixels, round(float(x)), round(float(y)))
        step.checked("the particle is its box in the micrograph", self._result() == box.tobytes())

    def copy(self) -> None:
        """Copy a TIFF movie and a whole entry with odd names, and compare them."""
        step = self._transcript
        step.title("Copy files")
        self._run(f"cp mnt/{archive.TIFF_MOVIE} movie.tif")
        self._run(f"cmp movie.tif archive/{archive.TIFF_MOVIE}")
        step.checked("the TIFF movie is the original, byte for byte", True)
        self._run("cp -a mnt/11419 copy")
        self._run("diff -r copy archive/11419")
        step.checked("so is a whole entry, blanks and “=” in its names", True)
        step.wire()

    def read_again(self) -> None:
        """Read what was read before, from this machine."""
        step = self._transcript
        step.title("Read it again")
        self._run(f"cmp movie.tif mnt/{archive.TIFF_MOVIE}")
        cost = step.wire()
        step.checked("the second time nothing is asked of the archive", cost.requests == 0)

    def mount_again(self) -> None:
        """Unmount, mount again, and read without the archive."""
        step = self._transcript
        step.title("Unmount, mount again, and read what was read before")
        self._unmount()
        self._mount(is_first=False)
        self._run(f"ls -ln mnt/{archive.MICROGRAPH_DIRECTORY}", most=2)
        self._run("diff -r mnt/11419 copy")
        cost = step.wire()
        step.checked("names, sizes and bytes were kept on disk", cost.requests == 0)

    def account(self) -> None:
        """Show what is cached, and what came over the wire in all."""
        step = self._transcript
        step.title("What it took")
        self._run("df -h --output=size,used,avail,pcent,target mnt")
        self._show_program("empiarfs status mnt", "status", self._mount_point, most=24)
        sent = self._stage.counts()
        step.line(
            f"In all {amount(sent.sent_bytes)} of {amount(self._stage.size)} came over the wire, "
            f"in {sent.requests} requests."
        )

    def unmount(self) -> None:
        """Unmount, and leave nothing behind."""
        self._transcript.title("Unmount")
        self._unmount()

    @property
    def _mount_point(self) -> str:
        return os.fspath(self._stage.mount_point)

    def _mount(self, *, is_first: bool = True) -> None:
        url, cache = self._stage.url, os.fspath(self._stage.work / "cache")
        options = ["--archive-url", url, "--api-url", _NO_API, "--cache-dir", cache]
        options += ["--log-file", os.fspath(self._stage.work / "mount.log"), "--wait", "60s"]
        shown = f"empiarfs mount mnt --archive-url {url} \\\n--cache-dir cache --wait 60s"
        self._show_program(shown, "mount", self._mount_point, *options, most=8 if is_first else 0)

    def _unmount(self) -> None:
        self._show_program("empiarfs umount mnt", "umount", self._mount_point)

    def _show_program(self, shown: str, *arguments: str, most: int = 12) -> str:
        argv = [sys.executable, "-m", "empiarfs", *arguments]
        return self._transcript.shell(shown, argv, most=most)

    def _run(self, command: str, *, most: int = 12) -> str:
        return self._transcript.shell(command, shlex.split(command), most=most)

    def _original(self, path: str) -> Path:
        return self._stage.archive / path

    def _result(self) -> bytes:
        return (self._stage.work / "result").read_bytes()


def _section(path: Path, number: int) -> Pixels:
    """Return one section of an original MRC file."""
    with mrcfile.open(path) as mrc:
        data = np.asarray(mrc.data)
        return np.array(data[number] if data.ndim == 3 else data)
