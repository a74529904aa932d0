"""Asks the daemon of a mount."""

from __future__ import annotations

import json
from typing import Any

from empiarfs.control.registry import Registered
from empiarfs.control.wire import connected_socket, read_line
from empiarfs.errors import MountError

_MAX_ANSWER_BYTES = 16 * 1024 * 1024


def ask(mount: Registered, request: str, timeout_s: float = 2.0, **further: str) -> dict[str, Any]:
    """Return the daemon's answer to a request.

    Args:
        mount: Whom to ask.
        request: The kind of request, such as `status`.
        timeout_s: How long all of it may take.
        further: What else the request says.

    Raises:
        MountError: It does not answer, or not what was asked.
    """
    where = mount.record.mount_point
    try:
        with connected_socket(mount.socket, timeout_s) as connection:
            connection.sendall(json.dumps({**further, "request": request}).encode("ascii") + b"\n")
            answer = json.loads(read_line(connection, _MAX_ANSWER_BYTES))
    except (OSError, ValueError, RecursionError) as exc:
        raise MountError(f"the daemon of {where} does not answer: {exc}") from exc
    if not isinstance(answer, dict) or "error" in answer:
        raise MountError(f"the daemon of {where} does not know {request!r}: {answer}")
    return answer
