"""Which place of which archive is meant: by a TARGET, or by a path in a mount.

The words are those of the commands (`empiarfs.core.targets`). A path in a mount is never
touched: the same place is read with the settings of that mount, so that one that hangs holds
nobody up.

Threading: safe from any thread.
"""

from __future__ import annotations

import os

from empiarfs.core.targets import parse_target
from empiarfs.errors import ConfigError
from empiarfs.mount.places import place_of
from empiarfs.python.session import Session, default_session, session_of, with_settings


def located(word: str | os.PathLike[str], session: Session | None = None) -> tuple[Session, str]:
    """Return the session that reads a place, and its path below the archive's root.

    Args:
        word: Such as `10934/data/x.mrc`, `EMPIAR-10934`, a URL, or a path in a mount.
        session: Whose archive is meant; by default that of `configure`.

    Raises:
        ConfigError: It names nothing that could be in the archive.
        MountError: It lies in a mount that doesn't answer.
    """
    text = os.fspath(word)
    session = session or default_session()
    target = parse_target(text, session.config.archive_url)
    if target is not None:
        return session, target.path
    place = place_of(text)
    if place is None:
        raise ConfigError(
            f"{text!r} is neither a place in the archive, such as EMPIAR-10934/data, "
            "nor a path in a mount of yours"
        )
    changes: dict[str, object] = {"archive_url": place.archive_url}
    if "cache_dir" not in dict(session.settings):
        # It serves that mount, so whatever disk it is on has been accepted.
        changes |= {"cache_dir": place.cache_dir, "force": True}
    return session_of(with_settings(session.settings, changes)), place.path
