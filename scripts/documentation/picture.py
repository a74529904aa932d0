"""Makes docs/first-look.svg, the picture in the README: `python -m scripts.documentation.picture`.

The commands are run in a mount of the demo's archive, and what they print is what is shown.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from empiarfs.demo.stage import Stage
from empiarfs.demo.transcript import Transcript
from empiarfs.demo.walkthrough import Walkthrough

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "first-look.svg"
_WIDTH = 92
_COMMANDS = (
    "empiarfs mount ~/empiar",
    "ls ~/empiar",
    "ls -lh ~/empiar/10017/data/micrographs | head -3",
    "empiarfs info ~/empiar/10934/data/CL44-1/FoilHole_0001_fractions.mrcs"
    " | grep -E 'size|Number|mode|spacing'",
    "empiarfs find ~/empiar/10934 --role movies",
    "empiarfs umount ~/empiar",
)


def main() -> None:
    """Run the commands and write the picture."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO())
    with Stage() as stage:
        walk = Walkthrough(stage, Transcript(lambda line: None, stage))
        home = stage.work / "home"
        home.mkdir()
        (home / "empiar").symlink_to(stage.mount_point)
        for command in _COMMANDS:
            console.print(Text(f"$ {command}", style="bold green"))
            if command.startswith("empiarfs mount"):
                walk.mount()
            elif command.startswith("empiarfs umount"):
                walk.unmount()
            else:
                console.print(Text(_printed(command, stage, home)))
    picture = console.export_svg(title="empiarfs", theme=DIMMED_MONOKAI, unique_id="first-look")
    # Fonts would be loaded from elsewhere; every system has one of this kind.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    PICTURE.write_text(picture.replace("Fira Code", "monospace"), encoding="utf-8")


def _printed(command: str, stage: Stage, home: Path) -> str:
    environment = stage.environment() | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TZ": "UTC",
        "COLUMNS": str(_WIDTH),
    }
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.replace(str(home), "~").rstrip()


if __name__ == "__main__":
    main()
