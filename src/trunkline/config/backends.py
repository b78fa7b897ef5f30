"""One backend as written -> `BackendSettings`.

Owns aliases, what comes from the provider row, and the checks that need more than one field: URL, headers, files.
Does not own credentials (`authentication.py`) nor what is Azure's alone (`azure.py`).
"""

import re
from collections.abc import Mapping as Environ
from pathlib import Path
from typing import Any, cast

from msgspec import Raw, json, structs

from trunkline.config import authentication, azure
from trunkline.config.addresses import check_url, same_server, with_scheme
from trunkline.config.bind import INVALID, Binder, Report, entry
from trunkline.config.expand import variables
from trunkline.config.model import ALIASES, DEFAULTS, BackendEntry
from trunkline.config.shaping import LEVEL_FIELDS, level_of, mistakes, place_of, tags_of
from trunkline.config.tree import Node, Scalar
from trunkline.net.proxy import DIRECT, parse_proxy
from trunkline.net.url import parse_base_url
from trunkline.providers.base import Profile
from trunkline.providers.registry import PROVIDERS, close_names, find
from trunkline.routing.backend import TimeoutSettings
from trunkline.routing.health import HealthSettings
from trunkline.routing.models import Place

_encode = json.Encoder().encode
_NAME = re.compile(r"[!-+\--.0-~]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_PATH = re.compile(r"/[!-~]*")
_VISIBLE = re.compile(r"[!-~]*")
# These frame the message or name its place: the gateway writes them itself (RFC 9110 section 7.6.1).
_OWN_HEADERS = frozenset(
    {
        *(
            "accept-encoding",
            "connection",
            "content-length",
            "expect",
            "host",
            "keep-alive",
            "proxy-connection",
            "te",
        ),
        *("trailer", "transfer-encoding", "upgrade"),
    }
)
# Text of any characters that becomes part of requests.
_SENT = (
    *("client_id", "client_secret", "token_scope", "deployment_name", "api_version"),
    *("default_model", "default_embedding_model", "proxy"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PATHS = ("ca_bundle_path", "client_cert_path", "client_key_path")


class Assembler:
    """Makes backends; relative paths are taken from `base`."""

    def __init__(self, environ: Environ[str, str], base: Path, report: Report) -> None:
        self._environ = environ
        self._base = base
        self._report = report
        self._binder = Binder(environ, base, report)
        self._tags = tags_of(environ)

    def read(self, node: Node, path: str) -> dict[str, Any] | None:
        """The values of one backend, complete but for a name, and its `level`; None if something was reported."""
        before = len(self._report.errors)
        values = self._binder.fields(node, BackendEntry, path)
        if values is INVALID:
            return None
        said = _Said(node, path, self._report)
        self._resolve_aliases(values, said)
        self._resolve_timeouts(values, said)
        _strip_blanks(values)
        _check_encodable(values, said)
        url = _checked_url(values, said)
        row = self._resolve_provider(values, url, said)
        if row is not None and url is not INVALID:
            self._resolve_url(values, row, said)
        authentication.check_oauth(values, said.error, said.warn)
        authentication.check_style(values, _OWN_HEADERS, said.error, said.warn)
        self._check_text(values, said)
        self._check_files(values, said)
        level = self._take_level(values, said)
        return (
            None
            if len(self._report.errors) > before
            else {**values, "level": level_of(level, self._tags, node)}
        )

    def _take_level(self, values: dict[str, Any], said: "_Said") -> dict[str, Any]:
        """What it says of shaping requests and answers, out of its values."""
        level = {name: values.pop(name) for name in LEVEL_FIELDS if name in values}
        filled = {name: values.pop(name) for name in DEFAULTS if name in values}
        if INVALID in (*level.values(), *filled.values()):
            level = {name: value for name, value in level.items() if value is not INVALID}
            for place, problem in mistakes(level):
                said.error_at(place, problem)
            return {}
        defaults: dict[str, Raw] = level.setdefault("defaults", {})
        for name, value in filled.items():
            if DEFAULTS[name] in defaults:
                said.error(
                    name, f"is an alias of `defaults.{DEFAULTS[name]}`, which is there too; write one of them"
                )
            defaults[DEFAULTS[name]] = Raw(_encode(value))
        for place, problem in mistakes(level):
            said.error_at(place, problem)
        return level

    def _resolve_aliases(self, values: dict[str, Any], said: "_Said") -> None:
        for alias, real in ALIASES.items():
            if alias not in values:
                continue
            if real in values:
                said.error(alias, f"is an alias of `{real}`, which is there too; write one of them")
            values[real] = values.pop(alias)
            said.renamed[real] = alias

    def _resolve_timeouts(self, values: dict[str, Any], said: "_Said") -> None:
        totals = {name: values.pop(name) for name in ("timeout", "request_timeout") if name in values}
        written = values.get("timeouts", TimeoutSettings())
        if not totals or INVALID in totals.values() or written is INVALID:
            return
        name = min(totals, key=lambda name: cast("float", totals[name]))
        if len(totals) == 2:
            said.warn(name, "holds: it is the smaller one of `timeout` and `request_timeout`")
        block = entry(said.node, "timeouts")
        if block is not None and entry(block.node, "total") is not None:
            said.error(name, "is an alias of `timeouts.total`, which is there too; write one of them")
        values["timeouts"] = structs.replace(written, total=totals[name])

    def _resolve_provider(self, values: dict[str, Any], url: Any, said: "_Said") -> Profile | None:
        name = values.get("provider", "openai_compat")
        if name is INVALID:
            return None
        row = find(name)
        if row is None:
            close = " or ".join(f"`{known}`" for known in close_names(name))
            fits = (
                f"did you mean {close}?" if close else "`openai_compat` fits any server that speaks that API"
            )
            said.error("provider", f"there is no provider {name!r}; {fits}")
            return None
        if url is not INVALID and azure.is_azure(row.name, url, values):
            row = azure.AZURE
        azure.check_deployment(row.name, values, said.error, said.warn)
        if "native" in values and not row.dialect:
            speaks = " or ".join(f"`{one.name}`" for one in PROVIDERS.values() if one.dialect)
            said.error("native", f"is for provider {speaks}, not `{row.name}`")
        values["provider"] = row.name
        return row

    def _resolve_url(self, values: dict[str, Any], row: Profile, said: "_Said") -> None:
        url: str | None = values.setdefault("url", row.base_url)
        if url is None:
            hint = f", like {row.url_example}" if row.url_example else f". {row.note}"
            said.error("url", f"is required for provider `{row.name}` (alias: base_url){hint}")
            return
        if row is azure.AZURE:
            values["url"] = azure.settle_url(url, values)
        if _is_own(row, url):
            self._resolve_own_server(values, row, said)
        if row.name == "openai_compat" and _is_openai(url):
            values.setdefault("openai_strict", True)

    def _resolve_own_server(self, values: dict[str, Any], row: Profile, said: "_Said") -> None:
        """What holds only where the provider itself is asked: key of the environment, paths, default models."""
        if row.unversioned and parse_base_url(values["url"]).raw_path == parse_base_url(values["url"]).path:
            values["url"] = _complete(values["url"])
        for field in ("default_model", "default_embedding_model"):
            values.setdefault(field, getattr(row, field))
        authentication.take_key(values, row, self._environ, said.warn, said.variables("api_key"))

    def _check_text(self, values: dict[str, Any], said: "_Said") -> None:
        name = values.get("name")
        if isinstance(name, str) and not _NAME.fullmatch(name):
            said.error("name", "must be printable ASCII without space, comma and slash")
        for field in ("api_key", "organization"):
            text = values.get(field)
            if isinstance(text, str) and not _VISIBLE.fullmatch(text):
                said.error(field, "holds a blank, a line break or a character outside ASCII")
        proxy = values.get("proxy")
        if isinstance(proxy, str) and proxy != DIRECT:
            try:
                parse_proxy(proxy)
            except ValueError as error:
                said.error("proxy", str(error).removeprefix("`proxy`: "))
        health = values.get("health")
        if isinstance(health, HealthSettings) and health.path and not _PATH.fullmatch(health.path):
            said.error("health", "its path must start with / and be visible ASCII, like /health")
        headers = values.get("headers")
        if not isinstance(headers, dict):
            return
        for header, value in cast("dict[str, str]", headers).items():
            if not _TOKEN.fullmatch(header):
                said.error("headers", f"{header!r} is not a header name")
            elif header.lower() in _OWN_HEADERS:
                said.error("headers", f"`{header}` is written by the gateway itself")
            elif not _HEADER_VALUE.fullmatch(value):
                said.error(
                    "headers",
                    f"the value of `{header}` holds a line break or a character that no header may hold",
                )

    def _check_files(self, values: dict[str, Any], said: "_Said") -> None:
        for field in _PATHS:
            if isinstance(values.get(field), str):
                values[field] = str(self._base / values[field])
                # A bundle that nobody looks at may be missing: documents of other systems have the pair.
                if field == "ca_bundle_path" and values.get("ssl_verify") is False:
                    continue
                if not Path(values[field]).is_file():
                    said.error(field, f"there is no file {values[field]}")
        if values.get("client_key_path") is not None and values.get("client_cert_path") is None:
            said.error("client_key_path", "needs client_cert_path too")
        if values.get("ssl_verify") is False:
            ignored = "; ca_bundle_path has no effect" if values.get("ca_bundle_path") else ""
            said.warn("ssl_verify", f"is off: anyone on the way can read and change the traffic{ignored}")


def _strip_blanks(values: dict[str, Any]) -> None:
    """A key of blanks is none; those around it or a URL came with a file or a variable."""
    for field in ("api_key", "url", "token_url"):
        if isinstance(values.get(field), str):
            values[field] = values[field].strip()


def _check_encodable(values: dict[str, Any], said: "_Said") -> None:
    """Report text with bytes of the environment that are not UTF-8: it could not be sent."""
    for field in _SENT:
        text = values.get(field)
        if isinstance(text, str) and not text.isascii() and _SURROGATE.search(text):
            said.error(field, "holds bytes that are not UTF-8; look at the variable or file it came from")
            values[field] = INVALID


def _checked_url(values: dict[str, Any], said: "_Said") -> Any:
    """The URL as written, None if there is none, INVALID if it was reported."""
    url = values.get("url")
    if isinstance(url, str) and (completed := with_scheme(url)):
        said.warn("url", f"has no scheme; it is taken for {completed.partition('?')[0]}")
        values["url"] = url = completed
    if isinstance(url, str) and (problem := check_url(url)):
        said.error("url", problem)
        return INVALID
    return url


def _is_own(row: Profile, url: str) -> bool:
    """Whether a good URL leads to the provider itself: its own server, or over TLS another host of its."""
    if row.base_url is not None and same_server(url, row.base_url):
        return True
    base = parse_base_url(url)
    return base.scheme == "https" and base.port == 443 and row.owns(base.host)


def _is_openai(url: str) -> bool:
    """Whether OpenAI itself answers there, whatever the backend calls it."""
    return f".{parse_base_url(url).host}".endswith(".openai.com")


def _complete(url: str) -> str:
    """A base without /v1 in front of its paths, as the whole URL that says so."""
    place, mark, query = url.partition("?")
    place = place.rstrip("/")
    return f"{place.removesuffix('/chat/completions')}/chat/completions{mark}{query}"


class _Said:
    """Where each field of one backend was written, and under which name."""

    def __init__(self, node: Node, path: str, report: Report) -> None:
        self.node = node
        self.renamed: dict[str, str] = {}
        self._path = path
        self._report = report

    def error(self, field: str, message: str) -> None:
        """Report an error at the field, or at the backend where the field is not written."""
        self._report.error(*self._line(field, message))

    def error_at(self, place: Place, message: str) -> None:
        """Report an error at a field within others."""
        path = ".".join(map(str, place))
        self._report.error(place_of(self.node, place, message), f"{self._path}.{path}: {message}".lstrip("."))

    def warn(self, field: str, message: str) -> None:
        """Report a warning likewise."""
        self._report.warn(*self._line(field, message))

    def variables(self, field: str) -> list[str]:
        """Those that the field refers to."""
        found = entry(self.node, self.renamed.get(field, field))
        node = None if found is None else found.node
        return variables(node.text) if isinstance(node, Scalar) and not node.literal else []

    def _line(self, field: str, message: str) -> tuple[str, str]:
        written = self.renamed.get(field, field)
        found = entry(self.node, written)
        path = f"{self._path}.{written}" if self._path else written
        return (self.node if found is None else found.node).where, f"{path}: {message}"


def settle_names(
    backends: list[dict[str, Any]], default: str | None, nodes: list[Node], report: Report
) -> None:
    """Give a name to those without: `default`, or the provider's name with a number from the second on."""
    taken: dict[str, str] = {}
    for values, node in zip(backends, nodes, strict=True):
        name = values.get("name")
        if name is None:
            continue
        if name in taken:
            found = entry(node, "name")
            report.error(
                (found.node if found else node).where,
                f"the name `{name}` is used twice, first at {taken[name]}",
            )
        taken[name] = node.where
    for values, node in zip(backends, nodes, strict=True):
        if "name" in values:
            continue
        base = name = default or str(values["provider"])
        number = 1
        while name in taken:
            number += 1
            name = f"{base}-{number}"
        values["name"] = name
        taken[name] = node.where
