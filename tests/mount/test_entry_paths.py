"""A path in a mount names its entry, to the commands that are about entries."""

from __future__ import annotations

import pytest

from tests.support.sandbox import NO_ARCHIVE, sandbox

pytestmark = pytest.mark.fuse

PAGE = "https://www.ebi.ac.uk/empiar/EMPIAR-10934/\n"


def test_a_path_in_a_mount_names_its_entry_without_being_touched() -> None:
    with sandbox() as here:
        here.mount()
        # The archive isn't there: whoever looked at the path would wait.
        for path in ("10934", "10934/data/x y.mrc", "EMPIAR-10934"):
            done = here.run("open", here.point / path)
            assert (done.returncode, done.stdout) == (0, PAGE), done

        done = here.run("open", "10934/data", cwd=here.home)
        assert done.stdout == PAGE
        done = here.run("open", "mnt/10934", cwd=here.home)
        assert done.stdout == PAGE
        done = here.run("open", here.point)
        assert done.returncode == 2
        here.run("umount", here.point)
        here.wait_until_gone()


def test_a_mount_of_one_entry_names_it_everywhere() -> None:
    with sandbox() as here:
        done = here.run("empiar:10934", here.point, "-o", f"archive_url={NO_ARCHIVE}")
        assert done.returncode == 0, done

        for path in (here.point, here.point / "data" / "x.mrc"):
            done = here.run("open", path)
            assert (done.returncode, done.stdout) == (0, PAGE), done
        here.run("umount", here.point)
        here.wait_until_gone()
