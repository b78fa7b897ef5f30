"""HTTP proxies: which one a connection goes through, what it is asked, and what its refusal means.

Owns the reading of proxy URLs, the rules of HTTPS_PROXY and its kin, and the words of CONNECT; all pure. Does not own
the sockets (net/tunnel.py, net/connector.py).

A backend's own `proxy` comes first and is used for every host. Else the environment decides, by the rules that curl
and requests share: `https_proxy` or `http_proxy` by the scheme of the target, else `all_proxy`; lower case before
upper case, and the first that is set counts, even if it is empty (no proxy). HTTP_PROXY in upper case is passed over
where REQUEST_METHOD is set, because there it may come from a client (CGI, "httpoxy"). `no_proxy` lists who is
reached directly:

| entry | excepts |
|---|---|
| `*` | everything |
| `example.com`, `.example.com`, `*.example.com` | that name and all below it |
| `10.1.2.3`, `fd00::1`, `[fd00::1]` | that address, where the target is written as an address |
| `10.0.0.0/8`, `fd00::/8` | every address in that network, likewise |
| any of the first three with `:8080` | only that port |

Every target is reached by CONNECT, those of plain HTTP too: a proxy then sees neither paths nor credentials.
"""

import base64
import re
from collections.abc import Mapping
from ipaddress import ip_network
from urllib.parse import unquote_to_bytes

import msgspec

from trunkline.net.networks import any_literal
from trunkline.net.url import BaseUrl, parse_base_url
from trunkline.wire.head import ResponseHead

DIRECT = "none"
"""The value of `proxy` that means: no proxy, whatever the environment says."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_SETTING = "`proxy`"
# Not the last group of an IPv6 address without brackets. More digits would make int() slow.
_WITH_PORT = re.compile(r"([^:]+|\[[^\]]+\]):(\d{1,5})", re.ASCII)
# Of X-Squid-Error, `ERR_DNS_FAIL 0`; anything else in a refusal is prose in some language.
_SQUID_ERROR = re.compile(rb"ERR_[A-Z_]{1,40}")


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP proxy. Its repr does not show the credentials.

    `scheme` is that of the connection to the proxy. `authorization` is the value of Proxy-Authorization, or empty.
    `source` is where it was named, for messages; `from_environment` whether that is a variable.
    """

    scheme: str
    host: str
    port: int
    address: str
    authorization: bytes
    source: str
    from_environment: bool

    def __repr__(self) -> str:
        return f"<Proxy {self.scheme}://{self.address} from {self.source}>"

    def request(self, target: str) -> bytes:
        """Give the CONNECT request for `target` (host:port)."""
        credentials = b"proxy-authorization: " + self.authorization + b"\r\n" if self.authorization else b""
        return b"CONNECT %b HTTP/1.1\r\nhost: %b\r\nuser-agent: trunkline\r\n%b\r\n" % (
            target.encode(),
            target.encode(),
            credentials,
        )

    def refusal(self, target: str, head: ResponseHead) -> str:
        """Say what it means that the proxy answered a CONNECT with something else than success."""
        status = head.status
        squid = _SQUID_ERROR.match(head.fields.get(b"x-squid-error", b""))
        said = f"{status} {squid[0].decode()}" if squid else str(status)
        if status in (401, 407):  # tinyproxy has 401 for wrong ones
            return f"it wants credentials ({status}); {self._credentials_hint(head)}"
        if status == 403:
            direct = ", or list the host in NO_PROXY" if self.from_environment else ""
            return f"it does not allow connections to {target} ({said}); have it allowed there{direct}"
        if status == 404 or status >= 500:
            return (
                f"it could not reach {target} ({said}); check host and port in `url`, as seen from the proxy"
            )
        return f"it did not accept the CONNECT request ({said}); check that {self.source} names an HTTP proxy"

    def _credentials_hint(self, head: ResponseHead) -> str:
        offers = b", ".join(value for name, value in head.headers if name == b"proxy-authenticate").lower()
        if offers and b"basic" not in offers:
            return "it does not take Basic, the only scheme that is supported; ask for an exception or another proxy"
        if self.authorization:
            return f"user name or password in {self.source} are wrong"
        return f"write them in {self.source}: {self.scheme}://user:password@{self.address}"


def parse_proxy(url: str, source: str = _SETTING) -> Proxy:
    """Read a proxy's URL; `host:port` alone is http.

    Raises:
        ValueError: it is none; the message names `source` and never quotes the URL, which may hold a password.

    """
    url = url.strip()
    found = _SCHEME.match(url)
    if found is None:
        url = f"http://{url}"
    elif found[1].lower() not in ("http", "https"):
        raise ValueError(
            f"{source}: {found[1].lower()}:// proxies are not supported, only http:// and https://; "
            + ("list the hosts in NO_PROXY or unset it" if source != _SETTING else "use an HTTP proxy")
        )
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, place = authority.rpartition("@")
    try:
        base = parse_base_url(f"{scheme}://{place}{slash}{path}")
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    user, _, password = credentials.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return Proxy(
        scheme=base.scheme,
        host=base.host,
        port=base.port,
        address=base.address,
        authorization=b"Basic " + base64.b64encode(pair) if at else b"",
        source=source,
        from_environment=source != _SETTING,
    )


def choose_proxy(base: BaseUrl, setting: str | None, environ: Mapping[str, str]) -> Proxy | None:
    """Give the proxy for an upstream, None for a direct connection.

    `setting` is the backend's `proxy`: empty or None leaves it to the environment, "none" is a direct connection.

    Raises:
        ValueError: the setting or variable that decides is not the URL of an HTTP proxy; it is named.

    """
    if setting:
        return None if setting.strip().lower() == DIRECT else parse_proxy(setting)
    names = [f"{base.scheme}_proxy", f"{base.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in environ:
        names = [name for name in names if name != "HTTP_PROXY"]
    source = next((name for name in names if name in environ), "")
    if not environ.get(source, "").strip():
        return None
    exceptions = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    return None if is_excepted(base.host, base.port, exceptions) else parse_proxy(environ[source], source)


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY lists a host. `host` as in BaseUrl; the entries stand between commas or blanks."""
    host = host.rstrip(".").lower()
    return any(_matches(host, port, entry) for entry in re.split(r"[\s,]+", no_proxy.lower()) if entry)


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    address = any_literal(host)
    if "/" in entry:
        try:
            return address is not None and address in ip_network(entry, strict=False)
        except ValueError:
            return False
    found = _WITH_PORT.fullmatch(entry)
    if found is not None:
        if int(found[2]) != port:
            return False
        entry = found[1]
    listed = any_literal(entry)
    if address is not None or listed is not None:
        return address == listed
    name = entry.removeprefix("*").strip(".")
    return name != "" and (host == name or host.endswith(f".{name}"))
