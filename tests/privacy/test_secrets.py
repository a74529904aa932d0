"""No password in a message, whatever is wrong with the URL that it stands in."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.archive.environment import origin_from
from empiarfs.cli import main
from empiarfs.config import load
from empiarfs.core.secrets import shown_url
from empiarfs.errors import ConfigError
from empiarfs.stats import Counters

SECRET = "s3cret"

# A person who writes a password into a URL forgets to encode what is special in it.
URLS = [
    f"https://ada:{SECRET}@archive.test/x/",
    f"http://ada:{SECRET}/1@archive.test/x/",
    f"http://ada:{SECRET}#1@archive.test/x/",
    f"http://ada:{SECRET}?1@archive.test/x/",
    f"http://ada:{SECRET}@:1@archive.test/x/",
    f"http://ada:[{SECRET}@archive.test/x/",
    f"http://ada:{SECRET}\u2100@archive.test/x/",
    f"http://{SECRET}@archive.test:port/x/",
    f"ada:{SECRET}@archive.test/x/",
    f"ftp://ada:{SECRET}@archive.test/",
    f"https:/ada:{SECRET}@archive.test/",
    f"https://ada:{SECRET}@archive.test/?q",
    f"https://ada:{SECRET} @archive.test/",
    f"//ada:{SECRET}@archive.test/",
]


@pytest.mark.parametrize("url", URLS)
def test_a_wrong_archive_url_is_refused_without_its_password(url: str) -> None:
    for options, environ in (({"archive_url": url}, {}), ({}, {"EMPIARFS_API_URL": url})):
        with pytest.raises(ConfigError) as caught:
            load(options, environ, ())

        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", URLS)
def test_the_client_shows_no_password_of_its_url(url: str) -> None:
    try:
        shown = origin_from(url).base_url
    except ConfigError as exc:
        shown = f"{exc} {exc.__cause__}"

    assert SECRET not in shown


@pytest.mark.parametrize("url", URLS)
def test_the_command_line_shows_no_password(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([url, "/mnt"], ["mount", "/mnt", "--archive-url", url]):
        with pytest.raises(SystemExit) as ended:
            main(words)

        assert ended.value.code == 2
        said = capsys.readouterr()
        assert SECRET not in said.out + said.err


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://ada:{SECRET}@proxy.test:port/",
        f"http://ada:{SECRET}/1@proxy.test:3128",
        f"ada:{SECRET}#@proxy.test:3128",
        f"http://ada:{SECRET}@[::1:3128",
        f"http://ada:{SECRET}@",
        f"socks5://ada:{SECRET}@proxy.test:1080",
        f"{SECRET}://proxy.test",
        f"ada:{SECRET}@x://proxy.test",
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)

    with pytest.raises(ConfigError, match="proxy") as caught:
        ArchiveClient(ClientConfig("https://archive.test/"), Counters())

    if not proxy.startswith(SECRET):  # that one is a scheme, and is named
        assert SECRET not in str(caught.value)


@given(st.text("a@:/?#[]% \u2100", max_size=12), st.text("b@:/?#[]% \u2100", max_size=12))
@example("http://a:", "@b")
def test_nothing_before_an_at_sign_is_ever_shown(before: str, behind: str) -> None:
    url = f"{before}{SECRET}@{behind}"

    assert SECRET not in shown_url(url)
    with pytest.raises(ConfigError) as caught:
        load({"archive_url": url}, {}, ())
    assert SECRET not in str(caught.value)
