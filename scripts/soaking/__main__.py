"""The command behind `scripts/soak`; `python -m scripts.soaking` in the checkout's root."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from pathlib import Path

import click

from scripts.soaking.daemon import Held
from scripts.soaking.judge import Found, leaks, wrong_with
from scripts.soaking.run import Plan, run
from scripts.soaking.served import FULL, QUICK
from tests.support.campaign import tally

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_QUICK_MINUTES = 1.0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--minutes", type=click.FloatRange(0.05), default=10.0, help="How long [default: 10]."
)
@click.option(
    "--readers", type=click.IntRange(7), default=64, help="How many at once [default: 64]."
)
@click.option("--cache-size", default="24M", help="The cache's limit [default: 24M].")
@click.option("--seed", type=int, default=1, help="Other troubles, in another order.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write everything that was found to this file.",
)
def main(minutes: float, readers: int, cache_size: str, seed: int, json_file: Path | None) -> None:
    """Read a mount over a breaking link, and compare every byte.

    All on this machine: some 200 MB are made and served by a server that does some requests
    wrong, over a link that swallows, cuts and stops, into a cache that is far too small.
    Ends with status 1 if a byte was wrong, a call hung or failed, or something leaked.
    """
    scale = QUICK if minutes < _QUICK_MINUTES else FULL
    found = run(Plan(minutes * 60, readers, scale, cache_size, seed), _say)
    _report(found)
    wrong = wrong_with(found)
    print("\n".join(_lines(found)))
    print("".join(f"\n{line}" for line in wrong) or "\nnothing wrong")
    if json_file is not None:
        values = dataclasses.asdict(found) | {"wrong": wrong, "healed": found.healed}
        json_file.write_text(json.dumps(values, indent=2) + "\n")
    sys.exit(1 if wrong else 0)


def _lines(found: Found) -> list[str]:
    counts = found.counts
    kinds = ", ".join(f"{name} {count:,}" for name, count in found.met.items())
    longest = ", ".join(f"{call} {took:.1f} s" for call, took in sorted(found.longest_s.items()))
    mended = ", ".join(f"{name} {count:,}" for name, count in found.mending.items())
    leaked = {name: count for name, count in leaks(found).items() if count}
    rows = {
        "readers": f"{found.readers} for {found.seconds:.0f} s",
        "reads": f"{counts.get('reads', 0):,}",
        "bytes": f"{counts.get('bytes', 0):,}",
        "names, stats": f"{counts.get('names', 0):,}, {counts.get('stats', 0):,}",
        "faults met": f"{found.faults:,} ({kinds})",
        "faults healed": f"{found.healed:,} ({mended})",
        "failed reads": f"{counts.get('failed_reads', 0):,}",
        "failed look-ups": f"{counts.get('failed_lookups', 0):,}, while out of reach",
        "wrong bytes": f"{counts.get('wrong_bytes', 0):,}",
        "lost names": f"{counts.get('lost_names', 0):,}",
        "hangs": f"{found.hangs}",
        "longest calls": longest,
        "leaks": ", ".join(f"{count} {name}" for name, count in leaked.items()) or "0",
        "at the start": _held(found.start),
        "after a minute": _held(found.minute),
        "at the end": f"{_held(found.end)} ({found.memory_growth:+.1%})",
        "when quiet": _held(found.quiet),
    }
    told = [f"{name + ':':<16} {value}" for name, value in rows.items()]
    return [*told, *(f"  {message}" for message in found.messages[:20])]


def _held(held: Held) -> str:
    return (
        f"{held.memory / 2**20:.1f} MiB, {held.threads} threads,"
        f" {held.descriptors} descriptors ({held.sockets} sockets)"
    )


def _report(found: Found) -> None:
    """Add to the tally of a campaign, if there is one."""
    counts = found.counts
    for name, count in found.met.items():
        tally.add("faults", name, count)
    tally.add("soak_seconds", "", int(found.seconds))
    tally.add("reads", "soak", counts.get("reads", 0))
    tally.add("wrong_bytes", "soak", counts.get("wrong_bytes", 0))
    tally.add("names", "soak", counts.get("names", 0))
    tally.add("lost_names", "soak", counts.get("lost_names", 0))
    tally.add("calls", "soak", counts.get("calls", 0))
    tally.add("calls_past_deadline", "soak", found.hangs)
    tally.add("hangs", "soak", found.hangs)
    for name, count in leaks(found).items():
        tally.add("leak_checks", name)
        tally.add("leaks", f"soak: {name}", count)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: object) -> None:
    """Unwind, so that every mount, process and file is cleaned up; only once."""
    for end in _ENDS:
        signal.signal(end, signal.SIG_IGN)
    _say("ending; a moment, please")
    raise KeyboardInterrupt


if __name__ == "__main__":
    for end in _ENDS:
        signal.signal(end, _interrupt)
    main()
