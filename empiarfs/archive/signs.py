"""What a process shows the others of the machine, so that they give a connection up.

Threading: called by whoever holds the budget's lock.
"""

from __future__ import annotations

import socket
from typing import Literal

from empiarfs.archive.machine_names import bind_name, is_taken

# Processes that can show a sign at once; what more there are is seen all the same.
_SIGNS = 4

Need = Literal["starving", "hungry"]


class Signs:
    """The sign that this process shows, and a look at those of others. Not thread-safe.

    Args:
        prefix: First word of the names.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._shown: tuple[Need, int, socket.socket] | None = None

    def show(self, need: Need | None) -> None:
        """Show this need from now on, instead of another; None for no need."""
        if self._shown is not None and self._shown[0] != need:
            self._shown[2].close()
            self._shown = None
        if self._shown is None and need is not None:
            for number in range(_SIGNS):
                holder = bind_name(self._name(need, number))
                if holder is not None:
                    self._shown = (need, number, holder)
                    return

    def others_show(self, need: Need) -> bool:
        """Tell whether another process shows this need."""
        own = self._shown[1] if self._shown is not None and self._shown[0] == need else None
        return any(is_taken(self._name(need, number)) for number in range(_SIGNS) if number != own)

    def _name(self, need: Need, number: int) -> str:
        return f"{self._prefix}-{need}-{number}"
