"""The examples that stand in a page of docs/: commands, and what they print."""

from __future__ import annotations

import re
from pathlib import Path


def examples(page: Path) -> list[tuple[str, str]]:
    """Return each command of a page's console blocks, and what the page shows below it."""
    blocks = re.findall(
        r"^```console\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return [
        (command, shown)
        for block in blocks
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]
