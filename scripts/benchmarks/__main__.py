"""The command behind `scripts/bench`; `python -m scripts.benchmarks` in the checkout's root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from scripts.benchmarks import report
from scripts.benchmarks.archive import FULL, QUICK, ServedArchive, served
from scripts.benchmarks.clients import MOUNTING, Client, clients_for
from scripts.benchmarks.libraries import LIBRARIES
from scripts.benchmarks.links import LINKS
from scripts.benchmarks.runner import Plan, Results, run
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.scenarios import SCENARIOS
from tests.support import users

_CLIENT_NAMES = tuple(dict.fromkeys((*MOUNTING, *LIBRARIES)))
_GROUPS = (MOUNTING, tuple(LIBRARIES))
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--list", "only_list", is_flag=True, help="Say what there is, and end.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice(list(SCENARIOS)),
    help="Run this one only; may be given several times.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    type=click.Choice(_CLIENT_NAMES),
    help="Measure this one only; may be given several times.",
)
@click.option(
    "--link",
    "links",
    multiple=True,
    type=click.Choice(list(LINKS)),
    help="Run what is done over this link only; may be given several times.",
)
@click.option(
    "--repeat", type=click.IntRange(1), default=None, help="Repetitions [default: 3; 1 if quick]."
)
@click.option("--quick", is_flag=True, help="A tenth of the data; the goals are not meant for it.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write everything that was found to this file.",
)
@click.option(
    "--plots",
    "plot_folder",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Also draw throughput, times and latency into this folder, as SVG.",
)
@click.option("--strict", is_flag=True, help="End with status 1 if a goal is missed.")
def main(
    only_list: bool,
    scenarios: tuple[str, ...],
    clients: tuple[str, ...],
    links: tuple[str, ...],
    repeat: int | None,
    quick: bool,
    json_file: Path | None,
    plot_folder: Path | None,
    strict: bool,
) -> None:
    """Measure empiarfs and others side by side, on an archive served by this machine.

    Prints a table with the median of the repetitions (least and most in brackets), the
    requests and the bytes over the wire, and the goals. TMPDIR says where the files go:
    some 7 GB for a while. Ends with status 1 if a client fails or gives wrong bytes.
    """
    if only_list:
        _list_all()
        return
    if json_file is not None:
        _check_can_write(json_file)
    plans = [
        Plan(
            scenarios=chosen,
            clients=by,
            link=LINKS[link],
            repetitions=repeat or (1 if quick else 3),
            scale=QUICK if quick else FULL,
        )
        for link in links or LINKS
        for group in _GROUPS
        if (chosen := _scenarios_over(link, group, scenarios))
        and (by := _clients_of(link, group, clients))
    ]
    if not plans:
        raise click.UsageError("none of these scenarios is done over this link by these clients")
    about = report.machine() | _versions(client for plan in plans for client in plan.clients)
    _say("making what is served")
    try:
        with _served_for(plans) as archive:
            results = [run(plan, archive, _say) for plan in plans]
    finally:
        users.remove_copies()
    about["load after"] = report.load()
    print("\n" + "\n".join(f"{key}: {value}" for key, value in about.items()))
    missed = [
        line for plan, result in zip(plans, results, strict=True) for line in _tell(plan, result)
    ]
    if (in_vain := report.unread(results)) is not None:
        print(f"\n{in_vain.line}: {'reached' if in_vain.is_reached else 'MISSED'}")
        missed += [] if in_vain.is_reached else [in_vain.line]
    if quick:
        print("\nquick: too little data for the goals to mean anything")
    found = [report.as_json(*pair, about) for pair in zip(plans, results, strict=True)]
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    if plot_folder is not None:
        _draw(found, plot_folder)
    failed = any(result.failures for result in results)
    sys.exit(1 if failed or (strict and missed) else 0)


def _scenarios_over(
    link: str, group: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[Scenario, ...]:
    return tuple(
        scenario
        for scenario in SCENARIOS.values()
        if (scenario.link, scenario.clients) == (link, group)
        and (not wanted or scenario.name in wanted)
    )


def _clients_of(link: str, group: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[Client, ...]:
    known = clients_for(link) if group is MOUNTING else LIBRARIES
    return tuple(known[name] for name in group if not wanted or name in wanted)


def _served_for(plans: Sequence[Plan]) -> AbstractContextManager[ServedArchive]:
    """Return the context in which all is served that these plans need."""
    by_mounts = [plan for plan in plans if plan.scenarios[0].clients == MOUNTING]
    return served(
        plans[0].scale,
        mounted=bool(by_mounts),
        far=any(plan.link.rate for plan in by_mounts),
        noise=any(scenario.name == "read.random" for plan in plans for scenario in plan.scenarios),
        images=len(by_mounts) < len(plans),
    )


def _tell(plan: Plan, results: Results) -> list[str]:
    """Print what came of a plan; return the goals that were missed."""
    missed = report.missed(plan, results)
    print(f"\nlink {plan.link.name}: {plan.link.description}")
    if results.link_late_s:
        print(f"the link itself was late by {results.link_late_s * 1e3:.0f} ms at worst")
    print("\n" + report.table(plan, results))
    for heading, lines in (
        ("missed", missed),
        ("skipped", results.skipped),
        ("failed", results.failures),
    ):
        print("".join(f"\n{heading}: {line}" for line in lines), end="\n" if lines else "")
    return missed


def _draw(found: Sequence[dict[str, Any]], folder: Path) -> None:
    # Only here: nothing else needs matplotlib.
    from scripts.benchmarks import plots

    for file in plots.draw(found, folder):
        _say(f"drawn: {file}")


def _check_can_write(file: Path) -> None:
    """Fail now if a file couldn't be written when hours are over."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise click.ClickException(f"{file} can't be written: there is no folder {folder}")
    if not file.exists() and not os.access(folder, os.W_OK):
        raise click.ClickException(f"{file} can't be written: {folder} is not writable")


def _list_all() -> None:
    for scenario in SCENARIOS.values():
        print(f"{scenario.name}: {scenario.title}")
        for figure in scenario.figures(FULL):
            goals = ", ".join(goal.text for goal in figure.goals)
            print(f"    {figure.title}" + (f" [{goals}]" if goals else ""))
    for group in _GROUPS:
        print("clients: " + ", ".join(group))
    for link in LINKS.values():
        print(f"link {link.name}: {link.description}")


def _versions(clients: Iterable[Client]) -> dict[str, str]:
    try:
        return {client.name: client.version() for client in clients}
    except (OSError, subprocess.SubprocessError) as exc:
        raise click.ClickException(f"a client is missing: {exc}") from exc


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
