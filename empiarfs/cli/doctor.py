"""The command `doctor`: what keeps empiarfs from working here, and what to do about it.

With `--json` `{"findings": [{"name", "verdict" ("ok", "note", "PROBLEM"), "text", "remedy"}],
"problems": N}`. Keys may be added, and don't change.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import setting_options, settings_from, verbosity

if TYPE_CHECKING:
    from empiarfs.config import Config
    from empiarfs.doctor import Finding

_LOG_BYTES = 200_000


@click.command("doctor", cls=Command)
@click.option("--offline", is_flag=True, help="Leave the network out.")
@click.option("--speed", is_flag=True, help="Measure the archive's speed too, with 20 MB.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write findings, settings, status and logs to FILE (.tar.gz), to be sent.",
)
@setting_options("archive_url", "cache_dir", "max_connections", "limit_rate")
@verbosity
def command(
    *,
    offline: bool,
    speed: bool,
    as_json: bool,
    report: str | None,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Look at all that empiarfs needs: FUSE, rights, the cache's disk, the way to EMPIAR.

    Each thing has a verdict, and a remedy if something is wrong. The status is 1 if there is
    a problem.
    """
    from empiarfs.cli.terminal import in_one_line
    from empiarfs.doctor import Verdict

    config = settings_from(settings)
    findings = []
    for finding in _findings(config, offline=offline, speed=speed):
        findings.append(finding)
        if as_json or (quiet and finding.verdict is not Verdict.BAD):
            continue
        name, verdict = finding.name, finding.verdict.value
        click.echo(f"{verdict:<8} {name:<12} {in_one_line(finding.text)}")
        if finding.remedy:
            click.echo(f"{'':<8} {'':<12} -> {in_one_line(finding.remedy)}")
    problems = sum(finding.verdict is Verdict.BAD for finding in findings)
    if as_json:
        click.echo(json.dumps({"findings": _values(findings), "problems": problems}, indent=2))
    elif not quiet:
        click.echo("no problem was found" if not problems else f"{problems} to be seen to")
    if report is not None:
        _write_report(Path(report), findings)
        if not quiet:
            click.echo(f"wrote {report}: look through it before you send it", err=True)
    return 1 if problems else 0


def _findings(config: Config, *, offline: bool, speed: bool) -> Iterator[Finding]:
    from empiarfs.doctor import machine_findings, network_findings, storage_findings

    yield from machine_findings()
    yield from storage_findings(config, os.environ)
    if not offline:
        yield from network_findings(config, speed=speed)


def _values(findings: list[Finding]) -> list[dict[str, str]]:
    return [
        {
            "name": finding.name,
            "verdict": finding.verdict.value,
            "text": finding.text,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]


def _write_report(path: Path, findings: list[Finding]) -> None:
    """Write an archive of what tells about trouble; no mount is touched, nothing secret in it.

    Raises:
        ConfigError: The file can't be written.
    """
    from empiarfs.cli.status import every_mount
    from empiarfs.errors import ConfigError

    parts = {
        "findings.json": json.dumps(_values(findings), indent=2),
        "settings.json": json.dumps(_settings(), indent=2),
        "status.json": json.dumps(every_mount(), indent=2, default=str),
        "mountinfo.txt": _mounts(),
        **_logs(),
    }
    try:
        with tarfile.open(path, "w:gz") as archive:
            for name, text in parts.items():
                data = text.encode("utf-8", "backslashreplace")
                item = tarfile.TarInfo(f"empiarfs-report/{name}")
                item.size, item.mtime, item.mode = len(data), int(time.time()), 0o600
                archive.addfile(item, io.BytesIO(data))
    except OSError as exc:
        raise ConfigError(f"{path} can't be written: {exc.strerror}") from exc


def _settings() -> dict[str, Any]:
    from empiarfs.config import config_files, load, to_json
    from empiarfs.core.secrets import shown_url
    from empiarfs.errors import ConfigError

    try:
        loaded = load({}, os.environ, config_files(os.environ), arguments={})
    except ConfigError as exc:
        return {"problem": str(exc)}
    values = {
        name: shown_url(value).strip("'") if isinstance(value, str) and "@" in value else value
        for name, value in json.loads(to_json(loaded.config)).items()
    }
    proxies = {
        name: shown_url(value).strip("'")
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy")
    }
    return {"values": values, "origins": dict(loaded.origins), "proxies": proxies}


def _mounts() -> str:
    lines = Path("/proc/self/mountinfo").read_text(errors="backslashreplace").splitlines()
    return "\n".join(line for line in lines if "empiarfs" in line)


def _logs() -> dict[str, str]:
    from empiarfs.control import registered

    found = {}
    for number, each in enumerate(registered(os.getuid(), os.environ)):
        path = Path(each.record.log_file) if each.record.log_file else None
        if path is None or not path.is_file():
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            found[f"log-{number}.txt"] = file.read().decode(errors="backslashreplace")
    return found
