"""How commands find a running mount and ask it, and how Python reads by it.

A mount that can't be found or asked is still a mount: what fails here is logged, not raised.

Threading: safe from any thread; `close` may come before `register`, and ends it then.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empiarfs.control import ControlServer, MountRecord, Registration, own_directory
from empiarfs.errors import EmpiarFSError

if TYPE_CHECKING:
    from empiarfs.config.settings import Config
    from empiarfs.fuse import Readers
    from empiarfs.mount.composition import Parts
    from empiarfs.mount.serving import FileServer

logger = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, Any]], dict[str, object]]


class Reachable:
    """The mount's place in the register, and the servers behind it.

    Args:
        config: Whether Python may read by it.
        parts: What the mount is made of.
        readers: Takes down who reads how much.
    """

    def __init__(self, config: Config, parts: Parts, readers: Readers) -> None:
        self._config = config
        self._parts = parts
        self._readers = readers
        self._lock = threading.Lock()
        self._closed = False  # guarded by _lock
        self._registration: Registration | None = None  # guarded by _lock
        self._control: ControlServer | None = None  # guarded by _lock
        self._data: FileServer | None = None  # guarded by _lock

    def register(self, record: MountRecord, answers: Mapping[str, Answer]) -> None:
        """Let commands of this user find the mount, and answer what they ask."""
        try:
            registration = Registration(own_directory(os.environ), record)
        except (EmpiarFSError, OSError) as exc:
            logger.warning("`empiarfs status` won't find this mount: %s", exc)
            return
        try:
            control = ControlServer(registration.socket, dict(answers))
        except OSError as exc:
            logger.warning("`empiarfs status` can't ask this mount: %s", exc)
            control = None
        data = self._make_data(registration.data_socket)
        with self._lock:
            self._registration, self._control, self._data = registration, control, data
            closed = self._closed
        if closed:
            self._withdraw()

    def _make_data(self, socket: Path) -> FileServer | None:
        if not self._config.daemon:
            return None
        from empiarfs.mount.serving import FileServer

        try:
            return FileServer(socket, self._parts, self._config, self._readers)
        except (OSError, RuntimeError) as exc:
            logger.warning("Python won't read by this mount: %s", exc)
            return None

    def python_status(self) -> dict[str, int] | None:
        """Return what Python does by this mount, for `status`; None if it can't."""
        data = self._data
        return None if data is None else data.status()

    def close(self) -> None:
        """End the servers, and be found no more; twice is as good as once."""
        with self._lock:
            self._closed = True
        self._withdraw()

    def _withdraw(self) -> None:
        with self._lock:
            registration, self._registration = self._registration, None
            control, self._control = self._control, None
            data, self._data = self._data, None
        for server in (data, control):
            if server is not None:
                server.close()
        if registration is not None:
            registration.close()
