"""Prints the table of a campaign: `python -m scripts.campaigns TALLY [--json FILE]`.

Ends with 1 if a goal isn't met, whatever the tests said.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.support.campaign import GOALS, Counts

# Of columns with a kind for each place, the table names this many.
_KINDS_SHOWN = 60


def main() -> int:
    """Print the table, write the JSON, return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/campaign", description=__doc__)
    parser.add_argument("tally", type=Path, help="the file that the tests wrote")
    parser.add_argument("--json", type=Path, help="a file for the same as JSON")
    options = parser.parse_args()
    counts = Counts.read(options.tally)
    console = Console()
    console.print(faults_table(counts))
    console.print(totals_table(counts))
    if options.json is not None:
        options.json.write_text(json.dumps(counts.as_json(), indent=2) + "\n")
    misses = counts.misses()
    for line in misses:
        console.print(f"[bold red]missed[/] {line}", highlight=False)
    return 1 if misses else 0


def faults_table(counts: Counts) -> Table:
    """Return the kinds of faults and how many of each were met."""
    table = Table("kind of fault", "met", title="Faults")
    table.columns[1].justify = "right"
    kinds = counts.kinds("faults")
    for kind, count in list(kinds.items())[:_KINDS_SHOWN]:
        table.add_row(kind, f"{count:,}")
    table.add_section()
    table.add_row(f"{len(kinds)} kinds", f"{counts.total('faults'):,}")
    return table


def totals_table(counts: Counts) -> Table:
    """Return the sums and what they should be."""
    table = Table("counted", "found", "wanted", title="Campaign")
    table.columns[1].justify = table.columns[2].justify = "right"
    for goal in GOALS:
        found = f"{counts.total(goal.column):,}" if counts.was_looked_at(goal.column) else "–"
        bound = f"≤ {goal.at_most:,}" if goal.at_most is not None else f"≥ {goal.at_least:,}"
        table.add_row(goal.column.replace("_", " "), found, bound)
    return table


if __name__ == "__main__":
    sys.exit(main())
