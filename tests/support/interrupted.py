"""How a command ends that was interrupted by Ctrl-C."""

from __future__ import annotations

import signal

# 130 is what we exit with. Where Ctrl-C comes while Python executes a string, as it does for
# each dataclass that it imports, the interpreter ends itself by the signal after all was done
# as always; a shell shows 130 for that, too.
INTERRUPTED = (130, -signal.SIGINT)
