"""Looks for what keeps empiarfs from working here: one finding for each thing that it needs.

Each check looks at one thing, changes nothing but for files that it removes again, takes
seconds at most, and never touches a mount.

Threading: used from one thread.
"""

from empiarfs.doctor.findings import Finding, Verdict
from empiarfs.doctor.machine import machine_findings
from empiarfs.doctor.network import network_findings
from empiarfs.doctor.storage import storage_findings

__all__ = [
    "Finding",
    "Verdict",
    "machine_findings",
    "network_findings",
    "storage_findings",
]
