"""What mkdocs asks while it builds: pages that aren't files below docs/."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from scripts.documentation.commands import page

_CHECKOUT = Path(__file__).resolve().parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the first page, and the reference of the commands."""
    readme = (_CHECKOUT / "README.md").read_text(encoding="utf-8")
    # Links into docs/ become links between pages; the licence isn't one.
    readme = re.sub(r"\]\(docs/", "](", readme).replace("[MIT License](LICENSE)", "MIT License")
    files.append(File.generated(config, "index.md", content=readme))
    files.append(File.generated(config, "commands.md", content=page()))
    return files
