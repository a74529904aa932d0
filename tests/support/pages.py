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


def shown_by(pattern: str, text: str) -> bool:
    """Tell whether a text is what a page shows, where "…" stands for anything."""
    parts = [re.escape(part) for part in pattern.rstrip().split("…")]
    # How wide a column is depends on what stands in it.
    regex = re.sub(r"(\\ )+", r"\\s+", ".*".join(parts))
    return re.fullmatch(regex, re.sub(r" +\n", "\n", text).rstrip(), re.DOTALL) is not None
