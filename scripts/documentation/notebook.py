"""Runs docs/notebook.ipynb: `python -m scripts.documentation.notebook` makes its outputs anew.

It is run as in Jupyter, by a kernel of its own, with the archive of `notebook_stage` in place of
EMPIAR's. The kernel is spoken to by sockets in a temporary directory, where everything that it
writes goes as well; it ends with the run. In what is written down the archive's address is
EMPIAR's, and nothing tells of when or where it was run.

    python -m scripts.documentation.notebook [NOTEBOOK [OUTPUT]]
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from scripts.documentation.notebook_stage import Served, served

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"
# A cell takes a second or so.
_CELL_S = 120
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def main(source: Path = NOTEBOOK, target: Path | None = None) -> None:
    """Run a notebook and write what came of it.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(source, as_version=4)
    with tempfile.TemporaryDirectory(prefix="empiarfs-nb-") as work, served(Path(work)) as where:
        _run(notebook, Path(work), where)
        _clean(notebook, where)
    nbformat.validate(notebook)
    # JSON as Jupyter writes it, so that whoever saves it there changes nothing else.
    nbformat.write(notebook, source if target is None else target)


def _run(notebook: Any, work: Path, where: Served) -> None:
    """Run all cells; outputs are put into the notebook."""
    os.environ |= {
        "EMPIARFS_ARCHIVE_URL": where.archive_url,
        "EMPIARFS_API_URL": where.api_url,
        "EMPIARFS_CACHE_DIR": str(work / "cache"),
        "EMPIARFS_DAEMON": "no",
        "HOME": str(work / "home"),
        "XDG_CONFIG_HOME": str(work / "home/config"),
        "IPYTHONDIR": str(work / "home/ipython"),
        "JUPYTER_RUNTIME_DIR": str(work / "home/run"),
        "JUPYTER_DATA_DIR": str(work / "home/data"),
        "MPLCONFIGDIR": str(work / "home/matplotlib"),
        "no_proxy": "127.0.0.1",
    }
    (work / "home").mkdir()
    client = NotebookClient(notebook, timeout=_CELL_S, resources={"metadata": {"path": work}})
    # No port is opened, at which others could tell the kernel what to do.
    client.km = AsyncKernelManager(
        kernel_name="python3", transport="ipc", connection_file=str(work / "kernel.json")
    )
    client.execute(cleanup_kc=True)


def _clean(notebook: Any, where: Served) -> None:
    """Take out what would be another at each run."""
    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = where.hidden(output.text)
            data = output.get("data", {})
            if "text/plain" in data:
                data["text/plain"] = where.hidden(data["text/plain"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
