"""The ledger of errors: what programs were refused, kept beyond the life of the daemon.

RELION and others skip a file that they can't read and say little of it. So whatever a mount
answers with an error that a program may have suffered from is written down, and a job can
prove afterwards that it got all it asked for.

    lines.py    what stands in a line, and how a line is written; pure
    report.py   what lines say together: errors, and times that nobody answers for; pure
    place.py    where ledgers lie
    writer.py   collects, and writes in a thread of its own

A ledger is a file for each mount point of each user on each machine. It never holds up a
read, and never makes one fail.
"""

from __future__ import annotations

from empiarfs.ledger.lines import Line, Mark, Refusal, decoded, encoded, from_values, to_values
from empiarfs.ledger.place import LedgerFiles, ledger_of, ledgers_of
from empiarfs.ledger.report import Report, Session, report_of
from empiarfs.ledger.writer import Ledger, Settled

__all__ = [
    "Ledger",
    "LedgerFiles",
    "Line",
    "Mark",
    "Refusal",
    "Report",
    "Session",
    "Settled",
    "decoded",
    "encoded",
    "from_values",
    "ledger_of",
    "ledgers_of",
    "report_of",
    "to_values",
]
