"""What the environment says about the network: proxies and certificates, read once.

requests would look at the environment at each request (0.3 ms) and send what ~/.netrc says
along. So it is read here, when a client is made, and requests is told to look at nothing.
"""

from __future__ import annotations

import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import requests.utils
import urllib3.exceptions
import urllib3.util

from empiarfs.archive.sockets import WatchedTlsSocket
from empiarfs.core.secrets import shown_url
from empiarfs.errors import ConfigError

_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the archive is.

    Attributes:
        base_url: URL of its root with a slash at the end, without credentials.
        host: Its host name.
        port: Its port.
        is_tls: Whether it is spoken to over TLS.
        host_header: What a request names as its host.
        authorization: Value of the Authorization header, from credentials in the URL.
    """

    base_url: str
    host: str
    port: int
    is_tls: bool
    host_header: str
    authorization: str | None


def origin_from(url: str) -> Origin:
    """Return the origin that `url` names.

    Raises:
        ConfigError: It isn't an absolute http or https URL without query.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # What urllib says of it may hold a password.
        raise ConfigError(f"not a usable archive URL: {shown_url(url)}") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigError(f"the archive URL must be http(s)://host/path/, not {shown_url(url)}")
    is_tls = parts.scheme == "https"
    bare = f"[{host}]" if ":" in host else host
    host_header = bare if port in (None, 443 if is_tls else 80) else f"{bare}:{port}"
    path = parts.path if parts.path.endswith("/") else parts.path + "/"
    return Origin(
        base_url=f"{parts.scheme}://{host_header}{path}",
        host=host,
        port=port or (443 if is_tls else 80),
        is_tls=is_tls,
        host_header=host_header,
        authorization=_basic(parts.username, parts.password),
    )


def _basic(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + b64encode(pair.encode()).decode("ascii")


def proxies_for(base_url: str) -> dict[str, str]:
    """Return the proxies to use for the archive, by scheme; `no_proxy` is honoured.

    Raises:
        ConfigError: A proxy that can't be read, or isn't spoken to by plain HTTP. What is
            said of it holds no user name or password.
    """
    proxies = {
        scheme: url
        for scheme, url in requests.utils.get_environ_proxies(base_url).items()
        if scheme in (urlsplit(base_url).scheme, "all") and url
    }
    for scheme, url in proxies.items():
        _check_proxy(scheme, url)
    return proxies


def _check_proxy(scheme: str, url: str) -> None:
    kind, separator, _ = url.partition("://")
    if separator and kind.lower() != "http":
        shown = repr(kind) if kind.isalnum() else "this kind"
        raise ConfigError(f"a proxy of {shown} can't be used, only http:// ({scheme}_proxy)")
    try:
        # As requests and urllib3 will read it, whose own errors would show the password.
        parsed = urllib3.util.parse_url(url if separator else f"http://{url}")
    except urllib3.exceptions.LocationParseError:
        parsed = None
    if parsed is None or not parsed.host:
        raise ConfigError(
            f"the environment's {scheme}_proxy can't be read; write http://host:port, and"
            " percent-encode what is special in a password"
        )


def tls_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Return a context that verifies certificates and names, always.

    The first of REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE that is set, or
    SSL_CERT_DIR, names the authorities; else the bundle that comes with requests.

    Raises:
        ConfigError: The named bundle can't be read.
    """
    bundle = next((environ[name] for name in _BUNDLE_VARIABLES if environ.get(name)), None)
    directory = None if bundle else environ.get("SSL_CERT_DIR") or None
    if bundle is None and directory is None:
        bundle = requests.utils.DEFAULT_CA_BUNDLE_PATH
    elif bundle is not None and os.path.isdir(bundle):
        bundle, directory = None, bundle
    try:
        context = ssl.create_default_context(cafile=bundle, capath=directory)
    except OSError as exc:
        raise ConfigError(f"can't read the certificates in {bundle or directory}: {exc}") from exc
    context.sslsocket_class = WatchedTlsSocket
    context.set_alpn_protocols(["http/1.1"])
    return context
