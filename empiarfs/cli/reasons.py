"""Why reads were slow or failed, in words, with what helps; from what a daemon remembers.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from empiarfs.cli.terminal import amount

Read = Mapping[str, Any]

# What took less of the time isn't worth a sentence.
_SHARE = 0.1

_AHEAD = "`empiarfs warm` fetches it before it is read, `empiarfs get` copies it"
_DOCTOR = "`empiarfs doctor` looks at the way to the archive"

# For each that can be waited for: what happened, and what helps.
_WAITS: Mapping[str, tuple[str, str]] = {
    "connection": (
        "no connection was free: those that this machine may have were at work for others",
        "let fewer programs read at a time (`empiarfs status --watch` shows which do)",
    ),
    "connecting": ("a connection to the archive took so long to be made", _DOCTOR),
    "first_byte": ("the archive's first byte was waited for", _AHEAD),
    "bytes": ("bytes came that slowly over the link", _AHEAD),
    "limit_rate": (
        "--limit-rate, which all limited processes of this machine share, let no more through",
        "mount with a higher --limit-rate, or let less be fetched beside it",
    ),
    "pause": (
        "what had broken off wasn't asked for again at once, to spare the archive",
        _DOCTOR,
    ),
    "offline": (
        "the archive was out of reach",
        f"{_DOCTOR}; what is cached is served all the same",
    ),
    "refused": (
        "the archive asked this address for fewer requests",
        "wait, and mount with a lower --max-connections",
    ),
    "cache_disk": (
        "the disk of the cache took so long",
        "put the cache on a local disk that has less to do: --cache-dir",
    ),
    "local_copy": ("the disk of the local copy took so long", "see that disk"),
    "names": (
        "the archive took so long to tell names, sizes and times",
        "`empiarfs index` learns all of an entry beforehand, once",
    ),
    "other": (
        "this machine was busy: neither the archive nor a disk was waited for",
        "let fewer programs run at a time",
    ),
}

# What went wrong on the way, without making the read fail.
_FAULTS: Mapping[str, str] = {
    "StalledError": "taken and never answered, or only at a crawl",
    "BusyError": "refused with the wish for fewer",
    "UnreachableError": "not sent, for want of a connection",
    "OfflineError": "not sent, as the archive was out of reach",
    "BadResponseError": "answered by something else, such as a network's log-in page",
    "UnavailableError": "broken off",
}

_ERRORS: Mapping[str, tuple[str, str]] = {
    "FileChangedError": (
        "the archive holds another version than the one that was opened",
        "close the file, and open it anew",
    ),
    "NotFoundError": ("the archive hasn't got the file any more", "list the directory anew"),
    "ForbiddenError": ("the archive refuses to hand it out", "ask EMPIAR's help desk"),
    "BadResponseError": (
        "something else answered in the archive's place, such as a network's log-in page",
        f"log in to the network; {_DOCTOR}",
    ),
    "InterruptedCallError": ("the program stopped waiting, or was ended", ""),
    "BusyError": _WAITS["refused"],
    "OfflineError": _WAITS["offline"],
    "UnreachableError": ("no connection to the archive could be made", _DOCTOR),
    "StalledError": ("the archive didn't answer in all that time", _DOCTOR),
    "UnavailableError": ("the connection to the archive broke again and again", _DOCTOR),
    "GaveUpError": ("it took longer than --wait allows", "mount with a longer --wait"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why reads were slow, or failed.

    Attributes:
        name: What was waited for, as in `waited`; or the kind of the error.
        reads: How many reads it was.
        seconds: How long they waited for it, all together.
        text: What happened.
        remedy: What helps, or "".
    """

    name: str
    reads: int
    seconds: float
    text: str
    remedy: str

    def to_json(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        return asdict(self)


def waited(read: Read) -> dict[str, float]:
    """Return what a read waited for, in seconds, the rest of its time included.

    >>> waited({"took_s": 3.0, "waited": {"bytes": 1.0, "first_byte": 1.5}})
    {'bytes': 1.0, 'first_byte': 1.5, 'other': 0.5}
    """
    found = {name: float(seconds) for name, seconds in read["waited"].items()}
    # What a request foreseen for several readers waited is counted for each of them.
    rest = float(read["took_s"]) - sum(found.values())
    return {**found, "other": round(rest, 3)} if rest > 0 else found


def reasons_of(reads: Sequence[Read]) -> list[Reason]:
    """Return why these reads were slow or failed, what weighs most first."""
    return [*_errors(reads), *_waits(reads)]


def _waits(reads: Sequence[Read]) -> list[Reason]:
    seconds: Counter[str] = Counter()
    count: Counter[str] = Counter()
    total_s = 0.0
    for read in reads:
        total_s += read["took_s"]
        for name, waited_s in waited(read).items():
            seconds[name] += waited_s  # type: ignore[assignment]
            count[name] += waited_s >= _SHARE * read["took_s"]
    faults = _fault_words(reads)
    found = []
    for name, waited_s in seconds.most_common():
        if waited_s < _SHARE * total_s or name not in _WAITS or not waited_s:
            continue
        text, remedy = _WAITS[name]
        if name == "first_byte":
            text = _first_byte(reads)
        elif name == "bytes":
            text = _bytes(reads, waited_s)
        if faults and name in ("first_byte", "pause", "bytes"):
            text, faults = f"{text}; {faults}", ""
        found.append(Reason(name, count[name], round(waited_s, 3), text, remedy))
    return found


def _first_byte(reads: Sequence[Read]) -> str:
    longest = max(reads, key=lambda read: read["waited"].get("first_byte", 0.0))
    seconds = longest["waited"]["first_byte"]
    if longest["errno"] is None:
        return f"the archive sent its first byte only after up to {seconds:.1f} s"
    return f"the archive's first byte was waited for, up to {seconds:.1f} s"


def _bytes(reads: Sequence[Read], seconds: float) -> str:
    speed = sum(read["archive_bytes"] for read in reads) / seconds
    return (
        f"bytes came at {amount(int(speed))}/s over the link"
        if speed >= 1
        else ("bytes were waited for that didn't come")
    )


def _fault_words(reads: Iterable[Read]) -> str:
    faults: Counter[str] = Counter()
    hedges = 0
    for read in reads:
        faults.update(read["faults"])
        hedges += read["hedges"]
    words = [
        f"{_requests(count)} {_FAULTS.get(kind, 'failed')}" for kind, count in faults.most_common()
    ]
    if hedges:
        words.append(f"{_requests(hedges)} sent a second time as the answer was late")
    return ", ".join(words)


def _requests(count: int) -> str:
    return f"{count} request{'s were' if count != 1 else ' was'}"


def _errors(reads: Sequence[Read]) -> list[Reason]:
    kinds = Counter(str(read["kind"]) for read in reads if read["errno"] is not None)
    found = []
    for kind, count in kinds.most_common():
        last = next(each for each in reversed(reads) if each["kind"] == kind)
        text, remedy = _ERRORS.get(kind, (str(last["error"]), ""))
        took_s = sum(each["took_s"] for each in reads if each["kind"] == kind)
        found.append(Reason(kind, count, round(took_s, 3), text, remedy))
    return found
