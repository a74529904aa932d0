"""What a TARGET stands for, spelt in each way."""

from __future__ import annotations

import pytest

from empiarfs.core.targets import ftp_url, local_target, parse_target
from empiarfs.errors import ConfigError

URL = "https://ftp.example.org/empiar/world_availability/"


def path_of(word: str, archive_url: str = URL) -> str | None:
    target = parse_target(word, archive_url)
    return None if target is None else target.path


@pytest.mark.parametrize(
    ("word", "path"),
    [
        ("10934", "10934"),
        ("10934/", "10934"),
        ("10934/data/x.mrc", "10934/data/x.mrc"),
        ("EMPIAR-10934/data", "10934/data"),
        ("empiar-10934", "10934"),
        ("empiar", ""),
        ("empiar:", ""),
        ("empiar:10934", "10934"),
        ("empiar:EMPIAR-10934/data", "10934/data"),
        ("empiar:/odd place/x", "odd place/x"),
        ("10.6019/EMPIAR-10934", "10934"),
        ("doi:10.6019/empiar-10934/data", "10934/data"),
        ("https://doi.org/10.6019/EMPIAR-10934", "10934"),
        ("https://www.ebi.ac.uk/empiar/EMPIAR-10934/", "10934"),
        ("https://www.ebi.ac.uk/empiar/entry/10934", "10934"),
        ("https://www.ebi.ac.uk/empiar/EMPIAR-10934/#top", "10934"),
        ("https://www.ebi.ac.uk/pdbe/emdb/empiar/entry/10934/", "10934"),
        ("https://empiar.org/10934", "10934"),
        (URL, ""),
        (URL.rstrip("/"), ""),
        (URL + "10934/data/", "10934/data"),
        (URL + "EMPIAR-10934/data", "10934/data"),
        (URL + "10934/a%20b/50%2520.mrc", "10934/a b/50%20.mrc"),
        (URL + "10934/data/?C=S;O=D", "10934/data"),
        (URL + "10934/%E5ngstr", "10934/\udce5ngstr"),
        (URL.replace("https", "http") + "10934", "10934"),
        (URL.replace("https", "ftp") + "10934/data", "10934/data"),
        (URL.replace("https://ftp.example.org", "HTTPS://FTP.example.ORG:443") + "1", "1"),
        ("10934/data/../10934.xml", "10934/10934.xml"),
        ("10934/./data//x", "10934/data/x"),
        ("10934/per%20cent", "10934/per%20cent"),
        ("data/x.mrc", None),
        ("./10934", None),
        ("/mnt/10934", None),
        (".", None),
        ("", None),
        ("1093", None),
        ("10934x", None),
        ("10934.xml", None),
        ("EMPIAR-x", None),
        ("10.6019/OTHER-10934", None),
    ],
)
def test_what_a_word_stands_for(word: str, path: str | None) -> None:
    assert path_of(word) == path


@pytest.mark.parametrize(
    "word",
    [
        "https://elsewhere.org/10934",
        "https://ftp.example.org/other/10934",
        "https://ftp.example.org:8443/empiar/world_availability/10934",
        "https://ada:secret@ftp.example.org/empiar/world_availability/10934",
        "https://[/10934",
        "ftp://ftp.example.org/pub/10934",
        URL + "10934/a%2Fb",
        URL + "10934/%00",
        "10934/../..",
        "empiar:..",
    ],
)
def test_what_can_be_nothing_in_this_archive_is_refused(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        path_of(word)

    assert "secret" not in str(caught.value)


def test_an_archive_with_a_port_is_found_by_its_own_only() -> None:
    local = "http://127.0.0.1:8000/a/"

    assert path_of(local + "10934", local) == "10934"
    assert path_of("ftp://127.0.0.1/a/10934", local) == "10934"
    with pytest.raises(ConfigError):
        path_of("http://127.0.0.1:8001/a/10934", local)


@pytest.mark.parametrize(
    ("word", "below", "spelt"),
    [
        ("10934", "data/a b", "10934/data/a b"),
        ("10934/", "", "10934"),
        ("EMPIAR-10934/data/", "x", "EMPIAR-10934/data/x"),
        ("empiar", "10934", "empiar:10934"),
        ("empiar:", "10934/data", "empiar:10934/data"),
        ("empiar:", "", "empiar:"),
        ("https://doi.org/10.6019/EMPIAR-10934", "data", "EMPIAR-10934/data"),
        ("https://www.ebi.ac.uk/empiar/EMPIAR-10934/", "data", "10934/data"),
        (URL, "10934", URL + "10934"),
        (URL + "10934/data/", "a b%", URL + "10934/data/a%20b%25"),
    ],
)
def test_what_is_found_is_spelt_as_the_target_and_leads_back(
    word: str, below: str, spelt: str
) -> None:
    target = parse_target(word, URL)

    assert target is not None
    assert target.spell(below) == spelt
    full = "/".join(part for part in (target.path, below) if part)
    assert path_of(spelt) == full
    assert path_of(target.spell(below, is_directory=True)) == full


@pytest.mark.parametrize(
    ("word", "spelt"), [("data", "data/x"), ("./data/", "./data/x"), ("/", "/x"), (".", "./x")]
)
def test_a_local_path_stays_one(word: str, spelt: str) -> None:
    assert local_target("10934/data", word).spell("x") == spelt


def test_the_address_by_ftp_has_the_same_path() -> None:
    assert ftp_url(URL + "10934/a%20b") == URL.replace("https", "ftp") + "10934/a%20b"
    assert ftp_url("http://[::1]:80/a/") == "ftp://[::1]/a/"
