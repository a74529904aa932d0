"""Turns what requests, urllib3, http.client and ssl raise into errors of ours.

They wrap each other's exceptions in several ways, as causes, contexts, arguments and
attributes, so the kind is looked for all the way down.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import urllib3.exceptions

from empiarfs.errors import ArchiveError, BadResponseError, StalledError, UnavailableError


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        reason = getattr(each, "reason", None)
        inner = (*each.args, reason, each.__cause__, each.__context__)
        waiting += [item for item in inner if isinstance(item, BaseException)]


def translated(error: Exception, url: str) -> ArchiveError:
    """Return our error for one of requests, urllib3, http.client, ssl or the socket."""
    causes = list(_causes(error))
    broken = (http.client.RemoteDisconnected, http.client.IncompleteRead)
    garbage = (http.client.HTTPException, urllib3.exceptions.InvalidHeader, UnicodeError)
    if any(isinstance(each, broken) for each in causes):
        return UnavailableError(f"the connection was lost: {reason_of(error)}", url=url)
    if any(isinstance(each, garbage) for each in causes):
        return BadResponseError(f"the answer isn't valid HTTP: {reason_of(error)}", url=url)
    if any(isinstance(each, TimeoutError) for each in causes):
        return StalledError(f"the connection doesn't move: {reason_of(error)}", url=url)
    return UnavailableError(f"the connection was lost: {reason_of(error)}", url=url)


def reason_of(error: BaseException) -> str:
    """Return what went wrong in a few words: the innermost message."""
    # The outer ones are Python objects turned into text.
    inner = list(_causes(error))[-1]
    text = str(inner) or type(inner).__name__
    return text[:200]
