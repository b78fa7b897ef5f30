"""Where an upstream is: its base URL, read once, and the request targets made from it.

Owns the guess at a missing scheme (`normalize`), reading and checking of base URLs, the rule by which a
gateway path becomes an upstream path, and the form of a URL that may be logged. Does not own which hosts
may be called (net/egress.py) nor connections (net/connector.py).

People give base URLs in every shape: `http://h:8000`, with `/v1`, with slashes at the end, below a
provider's own prefix, or the whole `/chat/completions` URL. `parse_base_url` settles once what the
gateway's `/v1` becomes there (`api_path`), so that joining is a concatenation and `/v1/v1` cannot occur:

    base URL                                  /v1/chat/completions becomes
    http://h:8000                             /v1/chat/completions
    https://h/api/v1                          /api/v1/chat/completions
    https://h/some/proxy                      /some/proxy/v1/chat/completions
    https://h/v1beta/openai (has a version)   /v1beta/openai/chat/completions
    https://h/chat/completions (complete)     /chat/completions

`azure_base` does the same for Azure's URLs, where the deployment stands in the path and the version in the query;
`azure_at` knows which operations are a deployment's.

A joined target is a path on that one host: it begins with exactly one slash and has no dot segments,
so that neither the host nor the base path can be left.
"""

import ipaddress
import re
from urllib.parse import SplitResult, quote, urlsplit

import msgspec
from msgspec import structs

from trunkline.net.networks import is_private_host

DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 1035 2.3.4, less the length octet and the root label.
MAX_HOST = 253
_COMPLETE = "/chat/completions"
# What Azure serves below a deployment; all else is the resource's (the openai SDK draws the same line).
_DEPLOYED = frozenset(
    (
        _COMPLETE,
        "/completions",
        "/embeddings",
        "/audio/transcriptions",
        "/audio/translations",
        "/audio/speech",
        "/images/generations",
        "/images/edits",
    )
)
# Without a version before them they may be a base path like any other: Azure AI Foundry has its API below `/models`.
_OPERATION = re.compile(rf"(?:{'|'.join(sorted(_DEPLOYED))}|/messages|/responses|/models)$")
# Rejected instead of repaired: parsers disagree about them, and the disagreement is an attack
# (`http://127.0.0.1\@1.1.1.1` is one host to one parser and another to the next).
_FORBIDDEN = re.compile("[\x00-\x20\x7f-\xa0\\\\\ud800-\udfff]|\\s")
_FORBIDDEN_IN_TARGET = re.compile(rb"[\x00-\x20\x7f\\]")
# What getaddrinfo and a Host header can carry; the underscore is common in container networks.
_HOST = re.compile(r"[a-z0-9._-]+")
_AUTHORITY = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(.*))?")
_VERSION = re.compile(r"/v\d+\w*(?=/|$)|/openai/deployments/[^/]+$", re.IGNORECASE)
_VERSION_1 = re.compile("/V1$")
# `.` and `..`, plain or percent-encoded, between slashes, encoded slashes or path parameters.
_DOTS = re.compile(rb"(?:/|%2f|%5c)(?:\.|%2e){1,2}(?:/|%2f|%5c|;|$)", re.IGNORECASE)
_SAFE = "/%:@!$&'()*+,;=~?"
_WEB = re.compile(r"https?://", re.IGNORECASE)
_WEB_WITHOUT_SLASHES = re.compile(r"https?:", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_AUTHORITY_END = re.compile(r"[/?#]")
# Schemes that could be read as the user in front of a password: `mailto:a@b`.
_NO_USER = re.compile(
    r"(?:acct|blob|data|file|javascript|mailto|sips?|sms|tel|urn|vbscript|xmpp):", re.IGNORECASE
)


class BaseUrl(msgspec.Struct, frozen=True, gc=False):
    """One upstream's address.

    `host` is lower-case ASCII without brackets. `path` is the base path without `/v1` and without a slash
    at the end, `raw_path` the one that was given, `api_path` what the gateway's `/v1` becomes.
    `query` belongs to every request. `host_header` is the value of the Host field.
    """

    scheme: str
    host: str
    port: int
    path: str
    api_path: str
    raw_path: str
    query: str
    host_header: bytes

    @property
    def address(self) -> str:
        """`host:port`, for messages."""
        return f"{_bracket(self.host)}:{self.port}"


def normalize(url: str) -> str:
    """Give a URL its scheme: http for hosts on this machine or its networks, https for all others.

    What has a scheme of the web is returned as it is, blanks around it removed; nothing else is changed.

    Raises:
        ValueError: it is empty, or has a scheme that is not of the web.

    """
    if not url:
        raise ValueError("URL cannot be empty")
    url = url.strip()
    if _WEB.match(url):
        return url
    found = _WEB_WITHOUT_SLASHES.match(url)
    if found is not None:
        return f"{found[0]}//{url[found.end() :]}"
    if _OTHER_SCHEME.match(url):
        raise ValueError("a URL must begin with http:// or https://")
    url = url.removeprefix("//")
    authority = _AUTHORITY_END.split(url, maxsplit=1)[0]
    if "@" in authority and _NO_USER.match(authority):
        raise ValueError("a URL must begin with http:// or https://")
    place = authority.rpartition("@")[2]
    if place.startswith("["):
        host = place.partition("]")[0] + "]"
    else:
        host, _, port = place.partition(":")
        # `javascript:alert(1)`, `file:/etc/passwd`: what looks like a host and its port is a scheme.
        no_host = "." not in host and not is_private_host(host)
        if (port and ":" not in port and not port.isdigit()) or (
            no_host and host and place == f"{host}:" and url.startswith("/", len(authority))
        ):
            raise ValueError("a URL must begin with http:// or https://, and its port must be a number")
    return f"{'http' if is_private_host(host) else 'https'}://{url}"


# The names under which other systems know the two.
normalize_url = normalize
is_private_ip = is_private_host


def parse_base_url(url: str) -> BaseUrl:
    """Read a base URL.

    Raises:
        ValueError: it is none; the message says why and never quotes the URL, which may hold a secret.

    """
    parts, host, port = _split(url)
    if "@" in parts.netloc:
        raise ValueError("a URL must not hold a user name or password; use `api_key` or `headers`")
    given = re.sub("/{2,}", "/", quote(parts.path, safe=_SAFE)).rstrip("/")
    if _DOTS.search(given.encode()):
        raise ValueError("the path of a URL must not have `.` or `..` segments")
    raw_path = _VERSION_1.sub("/v1", _without_operation(given))
    path = raw_path.removesuffix("/v1")
    # A complete URL is taken at its word. Otherwise a version anywhere in the path says that the provider
    # has put the API below it: `/v1beta/openai` (Gemini), `/v1/openai` (DeepInfra), `/api/paas/v4` (Zhipu). So does
    # the name of a deployment (Azure).
    versioned = given.endswith(_COMPLETE) or _VERSION.search(raw_path)
    default = port is None or port == DEFAULT_PORTS[parts.scheme]
    return BaseUrl(
        scheme=parts.scheme,
        host=host,
        port=port or DEFAULT_PORTS[parts.scheme],
        path=path,
        api_path=raw_path if versioned else f"{raw_path}/v1",
        raw_path=raw_path,
        query=quote(parts.query, safe=_SAFE),
        host_header=(_bracket(host) if default else f"{_bracket(host)}:{port}").encode(),
    )


def azure_base(base: BaseUrl, deployment: str | None, api_version: str | None) -> BaseUrl:
    """Give the base below which Azure serves one deployment; `join` makes the targets from it.

    With both, `/v1/x` becomes `/openai/deployments/{deployment}/x?api-version={api_version}`; with the version
    alone the usual target with that query, which corporate proxies want; with the deployment alone the usual target.
    A path that names a deployment already is kept.
    """
    if not api_version:
        return base
    if deployment and "/openai/deployments/" not in base.raw_path:
        path = f"{_azure_root(base)}/deployments/{quote(deployment, safe='')}"
        base = structs.replace(base, path=path, api_path=path, raw_path=path)
    return _with_version(base, api_version)


def azure_at(base: BaseUrl, deployment: str | None, api_version: str | None, path: str) -> BaseUrl:
    """Give the base at which the operation of a gateway path is served: a deployment's, or its resource's.

    Where no deployment is named, all is at the same base. `path` has no query.
    """
    at = azure_base(base, deployment, api_version)
    if "/openai/deployments/" not in at.raw_path or path.rstrip("/").removeprefix("/v1") in _DEPLOYED:
        return at
    return azure_resource(at, api_version)


def azure_resource(base: BaseUrl, api_version: str | None) -> BaseUrl:
    """Give the base of what an Azure resource serves beside its deployments: `/v1/models` is `/openai/models`."""
    root = _azure_root(base)
    resource = structs.replace(base, path=root, api_path=root, raw_path=root)
    return _with_version(resource, api_version) if api_version else resource


def join(base: BaseUrl, path: str) -> bytes:
    """Give the upstream request target for a gateway path such as `/v1/chat/completions`.

    `path` may have a query, which follows the base URL's own. A path outside `/v1` goes below the base
    without its `/v1` (`/health` of `http://h:8000/v1` is `/health`).

    Raises:
        ValueError: the path is not a plain absolute one (dot segments, control characters).

    """
    return _target(base, base.path, quote(path, safe=_SAFE).encode())


def join_raw(base: BaseUrl, target: bytes) -> bytes:
    """Give the upstream request target for a client's own one, of any path (pure pass-through).

    The target goes below the base path as it was given; only a `/v1` that both have is written once.
    The client's query is kept byte for byte.

    Raises:
        ValueError: the target is not in origin form (RFC 9112 3.2.1) or has dot segments.

    """
    return _target(base, base.raw_path, target)


def redact(url: object) -> str:
    """Give `scheme://host[:port]`, the part of a URL that may be logged; never raises."""
    try:
        parts, host, port = _split(url if isinstance(url, str) else "")
    except ValueError:
        return "<unparseable>"
    return f"{parts.scheme}://{_bracket(host)}" + (f":{port}" if port else "")


def _without_operation(path: str) -> str:
    """A base path of which somebody gave the URL of a call."""
    if path.endswith(_COMPLETE):
        return path.removesuffix(_COMPLETE)
    base = _OPERATION.sub("", path)
    return base if _VERSION.search(base) else path


def _azure_root(base: BaseUrl) -> str:
    return base.path.partition("/openai/deployments/")[0].removesuffix("/openai") + "/openai"


def _with_version(base: BaseUrl, api_version: str) -> BaseUrl:
    others = [part for part in base.query.split("&") if part and not part.lower().startswith("api-version=")]
    return structs.replace(base, query="&".join([*others, f"api-version={quote(api_version, safe='')}"]))


def _target(base: BaseUrl, prefix: str, target: bytes) -> bytes:
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") or _FORBIDDEN_IN_TARGET.search(target) or _DOTS.search(path):
        raise ValueError(
            "the request path must begin with a slash and have no dot segments or control characters"
        )
    below_v1 = path == b"/v1" or path.startswith(b"/v1/")
    path = base.api_path.encode() + path[3:] if below_v1 else prefix.encode() + path
    # `//evil/x` would be a network-path reference: another host, to a server that resolves it as a URL.
    path = b"/" + path.lstrip(b"/")
    if base.query:
        query = base.query.encode() + b"&" + query if query else base.query.encode()
    return path + b"?" + query if query else path


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    """Split a URL into its parts, the host in the form DNS knows, and the port if there is one."""
    if _FORBIDDEN.search(url):
        raise ValueError("a URL must not hold spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the host of the URL is malformed") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.netloc:
        raise ValueError("a URL must begin with http:// or https://")
    # Not urlsplit's own `hostname` and `port`: they pass over what stands around the brackets.
    match = _AUTHORITY.fullmatch(parts.netloc.rpartition("@")[2])
    if match is None:
        raise ValueError("the host of the URL is malformed")
    address, name, port = match.groups()
    return parts, _name(name) if address is None else _ipv6(address), _port(port) if port else None


def _name(name: str) -> str:
    if not name:
        raise ValueError("the URL has no host")
    try:
        host = name.encode("idna").decode().lower()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host) or len(host) > MAX_HOST:
        raise ValueError("the host name of the URL is not valid")
    return host


def _ipv6(text: str) -> str:
    # A zone (`fe80::1%eth0`) has a meaning on one machine only, and none in a Host field or certificate.
    try:
        if "%" not in text:
            return _written(ipaddress.IPv6Address(text))
    except ValueError:
        pass
    raise ValueError("the URL has something in brackets that is not an IPv6 address without a zone")


def _written(address: ipaddress.IPv6Address) -> str:
    # Python 3.13 writes a mapped address with dots, those before do not.
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}"


def _port(text: str) -> int:
    # The length is checked first because int() of very many digits is slow.
    port = int(text) if len(text) <= 5 and text.isascii() and text.isdigit() else 0
    if not 1 <= port <= 65535:
        raise ValueError("the port of the URL must be a number from 1 to 65535")
    return port


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
