"""The settings: their syntax, their sources, and what stands behind `-o`."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.config import (
    SETTINGS,
    Config,
    Loaded,
    as_options,
    config_files,
    from_json,
    load,
    parse_mount_options,
    parse_rate,
    parse_size,
    parse_time,
    parse_url,
    size_words,
    to_json,
)
from empiarfs.config.settings import Place
from empiarfs.errors import ConfigError

CONFIGURATION = Path(__file__).parent.parent / "docs" / "configuration.md"
HOME = {"HOME": "/home/ada"}
PLACE = Place(Path("/"), Path("/"))


def loaded(
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *files: Path,
    arguments: Mapping[str, str] | None = None,
) -> Loaded:
    environ = {**HOME, **(environ or {})}
    return load(options or {}, environ, files, arguments=arguments, cwd=Path("/work place"))


def problem(
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *files: Path,
) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(options, environ, *files)
    return str(caught.value)


def written(folder: Path, text: str, name: str = "config.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


# -- syntax ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4194304", 4194304),
        ("20G", 20 * 1024**3),
        ("20 GiB", 20 * 1024**3),
        ("500m", 500 * 1024**2),
        ("500MB", 500 * 1024**2),
        ("1.5T", 3 * 1024**4 // 2),
        (" 2M ", 2 * 1024**2),
    ],
)
def test_a_size_is_in_bytes_or_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text, least=1) == size


@pytest.mark.parametrize(
    "text",
    ["", "G", "-1G", "20X", "20 G 5", "1.5", "1e9", "0", "20B G", "9" * 40, "9999999P", "٣G"],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|bytes|small|large"):
        parse_size(text, least=1)


@given(st.integers(1, 2**62))
def test_a_size_in_words_reads_back_as_itself(size: int) -> None:
    assert parse_size(size_words(size), least=1) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("1d", 86400), ("Forever", math.inf)],
)
def test_a_time_is_in_seconds_or_has_a_unit(text: str, seconds: float) -> None:
    assert parse_time(text, least=1) == seconds


@pytest.mark.parametrize("text", ["forever", "91s", "2m", "0.5s"])
def test_a_look_up_waits_no_longer_than_a_minute_and_a_half(text: str) -> None:
    assert loaded({"lookup_wait": "90s"}).config.lookup_s == 90
    assert "lookup_wait" in problem({"lookup_wait": text})


@pytest.mark.parametrize("text", ["", "inf", "nan", "-5", "5 weeks", "0", "15min 3", "1e5"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time|short"):
        parse_time(text, least=1)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10M", 10 * 1024**2), ("10M/s", 10 * 1024**2), ("2MB/s", 2 * 1024**2), ("none", None)],
)
def test_a_rate_is_in_bytes_per_second(text: str, rate: int | None) -> None:
    assert parse_rate(text, least=1) == rate


@pytest.mark.parametrize("text", ["10Mbit", "10Mb/s", "10Mbps", "/s", "10/M"])
def test_a_rate_in_bits_or_without_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"bits|size"):
        parse_rate(text, least=1)


def test_a_url_ends_in_one_slash() -> None:
    assert parse_url("http://127.0.0.1:8080") == "http://127.0.0.1:8080/"
    assert parse_url("https://example.org/a%20b//") == "https://example.org/a%20b/"
    assert parse_url("http://[::1]:8/x") == "http://[::1]:8/x/"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp.ebi.ac.uk/empiar",
        "ftp://ftp.ebi.ac.uk/",
        "file:///etc",
        "https://",
        "https:///x",
        "https://x/?a=b",
        "https://x/#a",
        "https://x/?",
        "https://x/a b",
        "https://x/ä",
        "https://x:port/",
        "https://x:99999/",
        "https://[::1/",
        "https://x/\nHost: y",
    ],
)
def test_what_is_no_usable_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|query|percent"):
        parse_url(text)


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    said = problem({"archive_url": "https://ada:secret@x/"})

    assert "user name or password" in said
    assert "secret" not in said


def test_paths_become_absolute() -> None:
    config = loaded({"cache_dir": "here/cache", "log_file": "~/log"}).config

    assert config.cache_dir == Path("/work place/here/cache")
    assert config.log_file == Path("/home/ada/log")
    assert loaded({"cache_dir": "/a"}).config.cache_dir == Path("/a")
    assert loaded({"cache_dir": "~root"}).config.cache_dir == Path(os.path.expanduser("~root"))
    assert "no such user" in problem({"cache_dir": "~nobody-of-this-name"})


def test_owners_may_be_names_or_numbers() -> None:
    assert loaded({"uid": "root", "gid": "0"}).config.uid == 0
    assert loaded({"uid": "1000", "umask": "027"}).config.umask == 0o27
    for wrong in ("no-such-user", "-1", "4294967295", "1.5"):
        assert "-o uid" in problem({"uid": wrong})
    for wrong in ("8", "rwx", "7777"):
        assert "octal" in problem({"umask": wrong})


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("5", 0.05), ("2.5 %", 0.025), ("0", 0.0), ("95%", 0.95)]
)
def test_a_share_is_written_in_per_cent(text: str, share: float) -> None:
    assert loaded({"min_free": text}).config.min_free == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "5G", "-1", "96", "1e1", "five"])
def test_what_is_no_share_is_refused(text: str) -> None:
    assert "min_free" in problem({"min_free": text})


@pytest.mark.parametrize(
    "text", ["", "x", "127.0.0.1", "host.example:80", "::1:80", "[127.0.0.1]:80", "1:70000", "-1"]
)
def test_what_is_no_place_to_listen_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="metrics"):
        loaded({"metrics": text})


# -- sources ---------------------------------------------------------------------------


def test_without_anything_the_defaults_hold() -> None:
    found = loaded()

    assert found.config == Config()
    assert set(found.origins) == set(SETTINGS)
    assert set(found.origins.values()) == {"default"}


def test_later_sources_count_more(tmp_path: Path) -> None:
    system = written(
        tmp_path,
        'cache_size = "1G"\nmax_connections = 1\nwait = 60\nlimit_rate = "1M"\n'
        'log_level = "error"\nxattr = true\n',
        "system.toml",
    )
    own = written(
        tmp_path,
        'cache_size = "2G"\nmax_connections = 2\nwait = 120\nlimit_rate = "2M"\nxattr = false\n',
    )
    environ = {"EMPIARFS_CACHE_SIZE": "3G", "EMPIARFS_MAX_CONNECTIONS": "3", "EMPIARFS_WAIT": "3m"}
    options = {"cache_size": "4G", "max_connections": "4"}

    found = loaded(options, environ, system, own, arguments={"cache_size": "5G"})

    assert found.config == Config(
        cache_size=5 * 1024**3,
        max_connections=4,
        wait_s=180,
        limit_rate=2 * 1024**2,
        log_level="error",
    )
    assert found.origins["cache_size"] == "--cache-size"
    assert found.origins["max_connections"] == "-o max_connections"
    assert found.origins["wait"] == "the environment variable EMPIARFS_WAIT"
    assert found.origins["limit_rate"] == f"limit_rate in {own}"
    assert found.origins["log_level"] == f"log_level in {system}"
    assert found.origins["umask"] == "default"


def test_a_stronger_source_can_take_a_limit_away(tmp_path: Path) -> None:
    file = written(tmp_path, 'limit_rate = "1M"\nallow_other = true\n')

    config = loaded({"limit_rate": "none", "allow_other": "no"}, {}, file).config

    assert config == Config()


def test_every_source_takes_every_setting(tmp_path: Path) -> None:
    texts = {
        "archive_url": "http://a/",
        "api_url": "http://b/",
        "cache_dir": "/c",
        "cache_size": "5M",
        "min_free": "7.3%",
        "max_connections": "7",
        "limit_rate": "1M",
        "wait": "forever",
        "lookup_wait": "7s",
        "log_file": "/d",
        "log_level": "debug",
        "metrics": "9464",
        "allow_other": "yes",
        "allow_root": "no",
        "metadata": "hidden",
        "local": "/e:/f",
        "local_verify": "full",
        "xattr": "yes",
        "read_ahead": "1M",
        "uid": "1",
        "gid": "2",
        "umask": "077",
        "force": "yes",
        "daemon": "no",
    }
    assert set(texts) == set(SETTINGS)
    file = written(tmp_path, "".join(f'{name} = "{text}"\n' for name, text in texts.items()))
    variables = {SETTINGS[name].variable: text for name, text in texts.items()}

    by_options = loaded(texts).config

    assert loaded({}, variables).config == by_options
    assert loaded({}, {}, file).config == by_options
    assert loaded(arguments=texts).config == by_options
    for field in dataclasses.fields(Config):
        assert getattr(by_options, field.name) != field.default or field.name == "allow_root"


def test_every_value_has_the_type_of_its_field() -> None:
    types: dict[str, type | tuple[type, ...]] = {
        "str": str,
        "str | None": str,
        "Path | None": Path,
        "tuple[Path, ...]": tuple,
        "int | None": int,
        "int": int,
        "float": (int, float),
        "bool": bool,
    }
    texts = {
        "[ADDRESS:]PORT": "9464",
        "URL": "http://a/",
        "DIR": "/c",
        "FILE": "/d",
        "SIZE": "5M",
        "SHARE": "5%",
        "RATE": "1M",
        "N": "5",
        "TIME": "1m",
        "LEVEL": "debug",
        "HOW": "off",
        "MODE": "sample",
        "USER": "1",
        "GROUP": "2",
        "MASK": "077",
        None: "",
    }

    for setting in SETTINGS.values():
        config = loaded({setting.name: texts[setting.metavar]}).config
        field = next(f for f in dataclasses.fields(Config) if f.name == setting.field)
        assert isinstance(getattr(config, setting.field), types[str(field.type)]), setting.name


def test_directories_may_be_given_several_times_and_as_a_list(tmp_path: Path) -> None:
    two = (Path("/a"), Path("/b"))
    options = parse_mount_options(r"local=/a,ro,local=/b").settings

    assert loaded(options).config.local == two
    assert loaded({}, {"EMPIARFS_LOCAL": "/a:/b"}).config.local == two
    assert loaded({}, {}, written(tmp_path, 'local = ["/a", "/b"]')).config.local == two
    assert loaded({"local": "/c"}, {"EMPIARFS_LOCAL": "/a:/b"}).config.local == (Path("/c"),)
    assert loaded({"local": ""}, {"EMPIARFS_LOCAL": "/a:/b"}).config.local == ()


def test_a_directory_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    config = loaded({}, {}, written(tmp_path, 'local = ["/a:b", "/c\\\\d"]')).config

    assert config.local == (Path("/a:b"), Path("/c\\d"))
    assert from_json(to_json(config)) == config
    assert loaded(parse_mount_options(r"local=/a\:b").settings).config.local == (Path("/a:b"),)


def test_a_list_is_for_what_may_be_given_several_times(tmp_path: Path) -> None:
    for text in ('cache_dir = ["/a"]', "local = [1]"):
        with pytest.raises(ConfigError, match="no table or list"):
            loaded({}, {}, written(tmp_path, text))


@pytest.mark.parametrize("text", ["", "yes", "true", "1", "ON"])
def test_a_flag_without_a_value_is_set(text: str) -> None:
    assert loaded({"xattr": text}).config.xattr


def test_an_empty_variable_is_none() -> None:
    assert loaded({}, {"EMPIARFS_CACHE_SIZE": "", "EMPIARFS_NO_SUCH": ""}).config == Config()


def test_variables_of_others_are_left_alone() -> None:
    assert loaded({}, {"EMPIARFS_LIBFUSE": "2", "EMPIAR": "x"}).config == Config()


def test_misspelt_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    file = written(tmp_path, "cache_sise = 5\n")

    assert problem({}, {}, file) == (
        f"{file}: cache_sise: there is no such setting; did you mean cache_size?"
    )
    assert problem({}, {"EMPIARFS_CACHEDIR": "/x"}) == (
        "EMPIARFS_CACHEDIR in the environment: there is no such setting;"
        " did you mean EMPIARFS_CACHE_DIR?"
    )
    assert "did you mean wait?" in problem({"wiat": "5"})
    assert problem({"qqqq": "5"}).endswith("there is no such setting")


def test_a_wrong_value_is_refused_with_the_place_where_it_stands(tmp_path: Path) -> None:
    file = written(tmp_path, 'cache_size = "lots"\n')

    assert problem({}, {}, file).startswith(f"cache_size in {file}: 'lots' is no size")
    assert problem({}, {"EMPIARFS_WAIT": "soon"}).startswith(
        "the environment variable EMPIARFS_WAIT: 'soon' is no time"
    )
    assert problem({"max_connections": "21"}) == (
        "-o max_connections: '21' isn't between 1 and 20"
    )
    assert "debug, info, warning, error" in problem({"log_level": "verbose"})
    assert "at least 2M" in problem({"cache_size": "1M"})
    assert "can't go together" in problem({"allow_other": "", "allow_root": ""})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cache_size = \n", "is no TOML"),
        (b"\xff\xfe", "is no TOML"),
        (b"[mount]\ncache_size = 5\n", "mount"),
        (b"cache_size = [5]\n", "no table or list"),
        (b"cache_size = true\n", "'yes' is no size"),
        (b"wait = nan\n", "is no time"),
        (b'cache_dir = "here"\n', "must begin with / or ~/"),
        (b"#" * 2_000_000, "too long"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)

    message = problem({}, {}, file)

    assert said in message
    assert str(file) in message


def test_a_missing_file_is_none_and_a_directory_is_a_mistake(tmp_path: Path) -> None:
    assert loaded({}, {}, tmp_path / "none.toml", tmp_path / "no" / "x").config == Config()
    assert "can't be read" in problem({}, {}, tmp_path)


def test_configuration_files_follow_xdg() -> None:
    own = Path("/home/ada/.config/empiarfs/config.toml")

    assert config_files(HOME) == (Path("/etc/empiarfs.toml"), own)
    assert config_files({**HOME, "XDG_CONFIG_HOME": "relative"})[1] == own
    assert config_files({**HOME, "XDG_CONFIG_HOME": "/xdg"})[1] == Path(
        "/xdg/empiarfs/config.toml"
    )


@pytest.mark.parametrize(
    ("nodes", "connections"), [("1", 12), ("2", 6), ("5", 2), ("100", 1), ("x", 12), ("", 12)]
)
def test_nodes_of_a_slurm_job_share_the_default_connections(nodes: str, connections: int) -> None:
    found = loaded({}, {"SLURM_JOB_NUM_NODES": nodes})

    assert found.config.max_connections == connections
    assert (f"{nodes} nodes" in found.origins["max_connections"]) == (connections < 12)


def test_an_explicit_number_of_connections_is_not_divided() -> None:
    found = loaded({"max_connections": "12"}, {"SLURM_JOB_NUM_NODES": "4"})

    assert found.config.max_connections == 12


# -- handing over ----------------------------------------------------------------------

PATHS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.sampled_from(["\udc80", ",", '"', "\\", "=", "~"]),
    min_size=1,
).map(lambda text: Path("/" + text))


@given(
    st.builds(
        Config,
        cache_dir=st.none() | PATHS,
        log_file=st.none() | PATHS,
        cache_size=st.none() | st.integers(2 * 1024**2, 2**62),
        max_connections=st.integers(1, 20),
        limit_rate=st.none() | st.integers(65536, 2**40),
        wait_s=st.just(math.inf) | st.integers(1, 10**6) | st.sampled_from([1.5, 90.25]),
        metrics=st.sampled_from([None, "127.0.0.1:9464", "[::1]:0"]),
        allow_other=st.booleans(),
        metadata=st.sampled_from(["visible", "hidden", "off"]),
        xattr=st.booleans(),
        read_ahead=st.none() | st.integers(4096, 2**30),
        uid=st.none() | st.integers(0, 2**32 - 2),
        umask=st.none() | st.integers(0, 0o777),
        force=st.booleans(),
        daemon=st.booleans(),
    )
)
def test_settings_survive_being_handed_to_another_process(config: Config) -> None:
    assert from_json(to_json(config)) == config
    assert loaded(as_options(config)).config == config


@pytest.mark.parametrize("text", ["", "[]", '{"cache_size": 5}', '{"no": "x"}', "{"])
def test_settings_that_were_not_handed_over_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        from_json(text)


# -- mount options ---------------------------------------------------------------------


def test_mount_options_are_sorted_by_whose_they_are() -> None:
    found = parse_mount_options(
        "ro,nosuid,cache_size=20G,xattr,,_netdev,noexec,fsname=empiar,x-systemd.automount"
    )

    assert found.settings == {"cache_size": "20G", "xattr": ""}
    assert found.fuse == {"noexec": "", "fsname": "empiar"}
    assert found.ignored == ("ro", "nosuid", "_netdev", "x-systemd.automount")


def test_what_mount_adds_by_itself_is_no_mistake() -> None:
    # What `mount -t fuse.empiarfs empiar /mnt` called on Debian 12, without and with options.
    plain = parse_mount_options("rw,dev,suid", from_mount=True)
    more = parse_mount_options(r"rw,nosuid,cache_dir=/a\,b,dev", from_mount=True)

    assert (plain.settings, plain.fuse) == ({}, {})
    assert more.settings == {"cache_dir": "/a,b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rw", "can't be written"),
        ("remount,ro", "unmount it"),
        ("direct_io", "decides this itself"),
        ("cache_sice=5G", "did you mean cache_size?"),
        ("no_exec", "did you mean noexec?"),
        ("nosiud", "did you mean nosuid?"),
        ("=5", "no such option"),
        ('cache_dir="/a', "quote"),
        ("cache_dir=/a\\", "backslash"),
    ],
)
def test_wrong_mount_options_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse_mount_options(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"cache_dir=/a\,b", "/a,b"),
        ('cache_dir="/a,b"', "/a,b"),
        (r"cache_dir=/a\\b", r"/a\b"),
        (r"cache_dir=/a\b", r"/a\b"),
        ('cache_dir=/a"b', '/a"b'),
        ("cache_dir=/a=b", "/a=b"),
        ("cache_dir=/a,cache_dir=/b", "/b"),
    ],
)
def test_values_may_hold_commas_quotes_and_backslashes(text: str, value: str) -> None:
    assert parse_mount_options(text).settings == {"cache_dir": value}


# -- documentation ---------------------------------------------------------------------


def documented() -> dict[str, list[str]]:
    """The rows of the table of settings, by -o name."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in CONFIGURATION.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and "`EMPIARFS_" in line
    ]
    return {row[0].strip("`"): row for row in rows if len(row) == 5}


def test_the_documentation_lists_exactly_the_settings() -> None:
    assert list(documented()) == list(SETTINGS)
    fields = {setting.field for setting in SETTINGS.values()}
    assert fields == {field.name for field in dataclasses.fields(Config)}


def test_the_documentation_names_each_option_variable_and_default() -> None:
    for name, (_, argument, variable, default, meaning) in documented().items():
        setting = SETTINGS[name]
        assert variable == f"`{setting.variable}`"
        assert argument == (f"`{setting.argument} {setting.metavar}`" if setting.listed else "–")
        value = getattr(Config(), setting.field)
        if value is not None:
            written_default = default.strip("`").split("`")[0]
            assert setting.parse(written_default, PLACE) == value, name
        assert meaning.endswith(".")
