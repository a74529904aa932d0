"""Every exception that empiarfs raises on purpose.

* EmpiarFSError
  - ConfigError                the user asked for something impossible (exit status 2)
  - MountError                 mounting, unmounting or asking a mount failed (exit status 1)
  - ArchiveError               the archive or the network
    + NotFoundError            no such entry, directory or file (404, 410)
    + ForbiddenError           the archive refuses to show it (403, 401)
    + UnavailableError         refused connection, reset, 429, 5xx; worth asking again
      · StalledError           accepted and not answered, or too slow; ask again at once
      · BusyError              the archive asks for fewer requests (429, 503)
      · UnreachableError       no connection: name resolution, TCP, TLS or the proxy failed
      · OfflineError           the archive is known to be out of reach; not asked at all
    + FileChangedError         the file is no longer the version that was opened
    + BadResponseError         an answer that breaks HTTP or does not fit the request
  - CacheError                 the local cache directory
    + CorruptBlockError        a stored block fails its checksum
  - LocalCopyError             a local copy of a file that can't stand for it
  - TreeError                  a call that does not fit what it names
    + NoSuchNameError          the archive is known not to have this name
    + NotDirectoryError        a directory is needed
    + IsDirectoryError         a file is needed
    + ReadOnlyError            the archive can't be written
    + BadHandleError           a handle that is not open
    + NoAttributeError         no such extended attribute
  - GaveUpError                the caller's patience ended before an answer came
  - InterruptedCallError       the caller was told to stop waiting

Lower layers translate what their libraries raise into these classes; upper layers never
see `requests` or `sqlite3` exceptions. `empiarfs.fuse` maps the classes to errno values for
the kernel, `empiarfs.python` to Python's own exceptions; no other module deals in errno.
"""

from __future__ import annotations

from typing import TypeVar

AnyError = TypeVar("AnyError", bound=BaseException)


class EmpiarFSError(Exception):
    """Base class of all errors raised on purpose by empiarfs."""


class ConfigError(EmpiarFSError):
    """The configuration cannot work; the message names the option and the fix."""


class MountError(EmpiarFSError):
    """A mount could not be made, ended or asked; the message says why.

    Attributes:
        hint: What the user can do about it, or None.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ArchiveError(EmpiarFSError):
    """The archive, or the network on the way to it, failed.

    Attributes:
        url: The URL that was requested, for the log line; never with credentials.
    """

    def __init__(self, message: str, *, url: str) -> None:
        super().__init__(message)
        self.url = url

    def __str__(self) -> str:
        return f"{self.args[0]} [{self.url}]"


class NotFoundError(ArchiveError):
    """The archive says that there is no such entry, directory or file."""


class ForbiddenError(ArchiveError):
    """The archive has it, or says so, and refuses to hand it out."""


class UnavailableError(ArchiveError):
    """The archive could not be reached or is overloaded; a later attempt may succeed.

    Attributes:
        retry_after_s: Seconds that the archive asked us to wait, or None if it did not say.
    """

    def __init__(self, message: str, *, url: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, url=url)
        self.retry_after_s = retry_after_s


class StalledError(UnavailableError):
    """The archive took the request and did not answer, or only at a crawl.

    About 3 % of EMPIAR's requests end so, whatever the load: asking again at once is
    right, backing off is not.
    """


class BusyError(UnavailableError):
    """The archive asks for fewer requests (429 or 503): wait, then ask more slowly."""


class UnreachableError(UnavailableError):
    """No connection could be made, so that the archive never saw the request."""


class OfflineError(UnavailableError):
    """The archive is known to be out of reach, so that it wasn't even asked."""


class FileChangedError(ArchiveError):
    """The archive now holds another version of the file than the one asked for."""


class BadResponseError(ArchiveError):
    """The answer breaks HTTP, or isn't an answer to what was asked."""


class DownloadError(EmpiarFSError):
    """A file can't be copied to where it was wanted."""


class CacheError(EmpiarFSError):
    """The cache directory can't be used as asked."""


class CorruptBlockError(CacheError):
    """A stored block isn't what was written."""


class LocalCopyError(EmpiarFSError):
    """A local copy can't be read in place of the archive's file; the message says why."""


class TreeError(EmpiarFSError):
    """A call doesn't fit what it names."""


class NoSuchNameError(TreeError):
    """The archive is known not to have this name."""


class NotDirectoryError(TreeError):
    """Something that isn't a directory was used as one."""


class IsDirectoryError(TreeError):
    """A directory was used as a file."""


class ReadOnlyError(TreeError):
    """Something was to be written."""


class BadHandleError(TreeError):
    """The handle isn't open."""


class NoAttributeError(TreeError):
    """There is no extended attribute of this name."""


class GaveUpError(EmpiarFSError):
    """The caller's patience ended before an answer came; its `__cause__` is the last failure."""


class InterruptedCallError(EmpiarFSError):
    """The caller was told to stop waiting, by a signal or because the mount ends."""


def without_frames(error: AnyError) -> AnyError:
    """Return the error, having let go of the frames that it and its causes came through.

    Those hold what their functions worked with: megabytes of a request that broke off, and
    as a rule the error itself, a circle that only a full collection of garbage undoes. So
    an error that is kept, or handed to another thread, is kept without.
    """
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        todo += (each.__cause__, each.__context__)
    return error
