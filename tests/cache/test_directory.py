"""Where the cache goes, whose directory is refused, and how big it may become."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from empiarfs.cache.directory import (
    CachePlace,
    choose_directory,
    default_limit,
    open_cache_directory,
)
from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.cache.file_systems import file_system_of, is_remote, read_mounts
from empiarfs.errors import ConfigError
from tests.cache.blocks import MIB


def mounts_with(*remote: Path, kind: str = "nfs4") -> bytes:
    lines = ["22 1 254:0 / / rw,relatime - ext4 /dev/vda rw"]
    lines += [
        f"{30 + number} 22 0:{number} / {path} rw - {kind} server:/x rw"
        for number, path in enumerate(remote)
    ]
    return "\n".join(lines).encode()


def chosen(environ: dict[str, str], mounts: bytes = mounts_with()) -> CachePlace:
    return choose_directory(None, environ, mounts=mounts, user=1234)


def test_the_users_word_counts_before_all(tmp_path: Path) -> None:
    environ = {"CACHE_DIRECTORY": "/var/cache/empiarfs", "HOME": str(tmp_path)}

    place = choose_directory(tmp_path / "mine", environ, mounts=mounts_with())

    assert place == CachePlace(tmp_path / "mine", f"{tmp_path}/mine (as given)")


def test_a_relative_place_is_refused() -> None:
    with pytest.raises(ConfigError, match="absolute"):
        choose_directory(Path("cache"), {}, mounts=mounts_with())


def test_the_default_is_below_the_home_directory(tmp_path: Path) -> None:
    assert chosen({"HOME": str(tmp_path)}) == CachePlace(
        tmp_path / ".cache/empiarfs", f"{tmp_path}/.cache/empiarfs (the default)"
    )


def test_the_xdg_cache_directory_is_honoured(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "xdg")}

    assert chosen(environ).path == tmp_path / "xdg/empiarfs"


def test_a_service_uses_the_directory_that_systemd_made() -> None:
    environ = {"CACHE_DIRECTORY": "/var/cache/empiarfs:/var/cache/other", "HOME": "/root"}

    assert chosen(environ).path == Path("/var/cache/empiarfs")


def test_a_job_uses_its_own_disk(tmp_path: Path) -> None:
    environ = {"SLURM_JOB_ID": "17", "SLURM_TMPDIR": str(tmp_path), "HOME": "/root"}

    assert chosen(environ) == CachePlace(
        tmp_path / "empiarfs", f"{tmp_path}/empiarfs (SLURM_TMPDIR of this job)"
    )


def test_outside_of_a_job_its_variables_do_not_count(tmp_path: Path) -> None:
    environ = {"SLURM_TMPDIR": "/scratch", "TMPDIR": "/tmp", "HOME": str(tmp_path)}

    assert chosen(environ).path == tmp_path / ".cache/empiarfs"


def test_a_job_whose_disk_is_remote_uses_tmpdir(tmp_path: Path) -> None:
    remote, local = tmp_path / "remote", tmp_path / "local"
    remote.mkdir()
    local.mkdir()
    environ = {"SLURM_JOB_ID": "17", "SLURM_TMPDIR": str(remote), "TMPDIR": str(local)}

    assert chosen(environ, mounts_with(remote, kind="lustre")).path == local / "empiarfs"


def test_a_job_whose_disk_is_missing_uses_the_default(tmp_path: Path) -> None:
    environ = {"SLURM_JOB_ID": "17", "SLURM_TMPDIR": "/nonexistent", "HOME": str(tmp_path)}

    assert chosen(environ).path == tmp_path / ".cache/empiarfs"


def test_a_remote_home_is_left_for_a_local_disk(tmp_path: Path) -> None:
    place = chosen({"HOME": str(tmp_path)}, mounts_with(tmp_path))

    assert place.path == Path("/var/tmp/empiarfs-1234")
    assert "home directory is not on a local disk" in place.reason


@pytest.mark.parametrize("home", ["", "/nonexistent", "relative"])
def test_a_user_without_home_has_a_cache_too(home: str) -> None:
    assert chosen({"HOME": home}).path == Path("/var/tmp/empiarfs-1234")


def test_nothing_local_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    remote = mounts_with(Path("/"), kind="nfs")

    with pytest.raises(ConfigError, match="--cache-dir"):
        chosen({"HOME": str(tmp_path)}, remote)


def test_a_remote_place_is_refused_unless_forced(tmp_path: Path) -> None:
    mounts = mounts_with(tmp_path, kind="gpfs")

    with pytest.raises(ConfigError, match="gpfs"):
        choose_directory(tmp_path / "x", {}, mounts=mounts)
    assert choose_directory(tmp_path / "x", {}, mounts=mounts, force=True).path == tmp_path / "x"


@pytest.mark.parametrize(
    ("kind", "remote"),
    [
        ("nfs", True),
        ("nfs4", True),
        ("cifs", True),
        ("lustre", True),
        ("gpfs", True),
        ("fuse.sshfs", True),
        ("fuse.empiarfs", True),
        ("fuseblk", False),
        ("ext4", False),
        ("tmpfs", False),
        ("overlay", False),
        ("", False),
    ],
)
def test_remote_file_systems_are_known(kind: str, remote: bool) -> None:
    assert is_remote(kind) == remote


def test_the_nearest_mount_counts_and_the_last_of_equal_ones(tmp_path: Path) -> None:
    inner = tmp_path / "a b"
    inner.mkdir()
    octal = str(inner).replace(" ", "\\040")
    mounts = (
        mounts_with(tmp_path)
        + (
            f"\n40 30 0:40 / {octal} rw shared:5 - xfs /dev/sdb rw\nnonsense\n\n"
            f"41 40 0:41 / {octal} rw - btrfs /dev/sdc rw"
        ).encode()
    )

    assert file_system_of(inner / "not" / "there", mounts) == "btrfs"
    assert file_system_of(tmp_path / "a bc", mounts) == "nfs4"
    assert file_system_of(tmp_path.parent, mounts) == "ext4"


def test_the_kernels_own_text_is_understood(tmp_path: Path) -> None:
    assert file_system_of(Path("/proc/self"), read_mounts()) == "proc"
    assert file_system_of(tmp_path, read_mounts()) != ""


def test_a_link_is_followed_to_where_the_bytes_would_be(tmp_path: Path) -> None:
    remote, link = tmp_path / "remote", tmp_path / "link"
    remote.mkdir()
    link.symlink_to(remote)

    assert file_system_of(link / "empiarfs", mounts_with(remote)) == "nfs4"


def place_at(path: Path) -> CachePlace:
    return CachePlace(path, str(path))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    opened = open_cache_directory(place_at(tmp_path / "deep" / "er"), 64 * MIB)

    assert opened.path == tmp_path / "deep/er/v1"
    assert opened.blocks_path == tmp_path / "deep/er/v1/blocks-1"
    assert {mode_of(path) for path in [opened.path, opened.blocks_path]} == {0o700}
    assert mode_of(tmp_path / "deep") == mode_of(tmp_path / "deep/er") == 0o700


def test_each_archive_has_a_catalog_of_its_own(tmp_path: Path) -> None:
    opened = open_cache_directory(place_at(tmp_path), 64 * MIB)
    one, other = opened.catalog_path("https://a/"), opened.catalog_path("https://b/")

    assert one != other
    assert one.parent == other.parent == opened.path


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir(mode=0o755)

    open_cache_directory(place_at(tmp_path), 64 * MIB)

    assert mode_of(tmp_path / "v1") == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 4711, 4711)

    with pytest.raises(ConfigError, match=r"user 4711.*--cache-dir"):
        open_cache_directory(place_at(theirs), 64 * MIB)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_another_users_folder_inside_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    os.chown(tmp_path / "v1", 4711, 4711)

    with pytest.raises(ConfigError, match="user 4711"):
        open_cache_directory(place_at(tmp_path), 64 * MIB)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a link away")
def test_another_users_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir()
    link.symlink_to(target)
    os.lchown(link, 4711, 4711)

    with pytest.raises(ConfigError, match="link"):
        open_cache_directory(place_at(link), 64 * MIB)


def test_the_users_own_link_is_followed_but_only_at_the_place_itself(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir()
    link.symlink_to(target)

    open_cache_directory(place_at(link), 64 * MIB)

    assert (target / "v1").is_dir()
    (target / "v1").rename(tmp_path / "moved")
    (target / "v1").symlink_to(tmp_path / "moved")
    with pytest.raises(ConfigError, match="link"):
        open_cache_directory(place_at(link), 64 * MIB)


def test_a_file_in_its_place_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(ConfigError, match="--cache-dir"):
        open_cache_directory(place_at(tmp_path / "file"), 64 * MIB)
    with pytest.raises(ConfigError, match="--cache-dir"):
        open_cache_directory(place_at(tmp_path / "file" / "below"), 64 * MIB)


def test_the_limit_belongs_to_the_directory(tmp_path: Path) -> None:
    first = open_cache_directory(place_at(tmp_path), 64 * MIB)
    second = open_cache_directory(place_at(tmp_path), None)

    assert first.limit == second.limit == 64 * MIB
    assert second.limit_reason == "67.1 MB (as given)"


def test_an_explicit_size_changes_it_for_all(tmp_path: Path) -> None:
    open_cache_directory(place_at(tmp_path), 64 * MIB)
    open_cache_directory(place_at(tmp_path), 32 * MIB)

    assert open_cache_directory(place_at(tmp_path), None).limit == 32 * MIB


def test_without_a_size_a_fifth_of_what_is_free_is_taken_once(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free = status.f_bavail * status.f_frsize

    opened = open_cache_directory(place_at(tmp_path), None)

    assert MIN_LIMIT <= opened.limit <= min(100 * 1000**3, free // 4)
    assert open_cache_directory(place_at(tmp_path), None).limit == opened.limit


def test_the_default_limit_says_why(tmp_path: Path) -> None:
    limit, reason = default_limit(tmp_path)

    assert "100 GB" in reason if limit == 100 * 1000**3 else "20 %" in reason


def test_too_small_a_size_is_refused_with_the_least(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="16M"):
        open_cache_directory(place_at(tmp_path), MIN_LIMIT - 1)


@pytest.mark.parametrize("content", ["", "lots", "-5 x", "17", "9" * 2000, "²0000000000 x"])
def test_a_damaged_limit_is_settled_anew(tmp_path: Path, content: str) -> None:
    opened = open_cache_directory(place_at(tmp_path), 64 * MIB)
    (opened.blocks_path / "limit").write_text(content)

    assert MIN_LIMIT <= open_cache_directory(place_at(tmp_path), None).limit <= 100 * 1000**3
