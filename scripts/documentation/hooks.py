"""What mkdocs asks while it builds: pages that aren't files below docs/."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.documentation import commands, notebook_page

_CHECKOUT = Path(__file__).resolve().parents[2]
_NOTEBOOK = "notebook.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the first page, the reference of the commands, and the notebook."""
    readme = (_CHECKOUT / "README.md").read_text(encoding="utf-8")
    # Links into docs/ become links between pages; the licence isn't one.
    readme = re.sub(r"\]\(docs/", "](", readme).replace("[MIT License](LICENSE)", "MIT License")
    files.append(File.generated(config, "index.md", content=readme))
    files.append(File.generated(config, "commands.md", content=commands.page()))
    notebook = (_CHECKOUT / "docs" / _NOTEBOOK).read_text(encoding="utf-8")
    text, pictures = notebook_page.page(notebook, _NOTEBOOK)
    files.append(File.generated(config, "notebook.md", content=text))
    for name, data in pictures.items():
        files.append(File.generated(config, name, content=data))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links to the notebook lead to its page, but for the one by which it is fetched."""
    if page.file.src_uri == "notebook.md":
        return markdown
    return markdown.replace(f"]({_NOTEBOOK})", "](notebook.md)")
