"""Where the settings come from, in which order, and the checks over all of them.

Owns the search for the file, precedence (arguments > environment > file > provider row > default) and the rules that
join several parts. Parsing, binding and backends are in files of their own. Everything that is wrong is reported at
once: the ConfigError has one line per mistake, each `place: what; how to fix it`.
"""

import re
from collections.abc import Mapping as Environ
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import structs

from trunkline.config import environment
from trunkline.config.addresses import is_loopback
from trunkline.config.backends import Assembler, settle_names
from trunkline.config.bind import INVALID, Binder, Report, entry
from trunkline.config.levels import Level
from trunkline.config.model import (
    AdminSettings,
    DiscoverySettings,
    FileSettings,
    Loaded,
    ModelEntry,
    Settings,
)
from trunkline.config.parse import parse_file
from trunkline.config.routing import check_routing
from trunkline.config.shapes import Shape, collect
from trunkline.config.shaping import levels_of, plain
from trunkline.config.tree import Mapping, Node, Scalar, Sequence, is_null, replaced, value_at
from trunkline.errors import ConfigError
from trunkline.net.egress import EgressSettings, Named, rules_of
from trunkline.net.listener import ServerSettings
from trunkline.policy.keys import KeySettings
from trunkline.routing.backend import BackendSettings

FILE_NAMES = ("trunkline.yaml", "config.yaml")
_AS_READ = ("rules", "router", "router_timeout", "breaker")
_NO_ARGUMENTS: Environ[str, object] = MappingProxyType({})
_POSITION = re.compile(r":(\d+):(\d+): ")
_VISIBLE = re.compile(r"[!-~]+")


def discover(directory: Path) -> Path | None:
    """The configuration file of a directory; None: start from the environment."""
    return next((directory / name for name in FILE_NAMES if (directory / name).is_file()), None)


def load(
    path: Path | None, environ: Environ[str, str], overrides: Environ[str, object] = _NO_ARGUMENTS
) -> Loaded:
    """Read the file (or the environment alone) with overrides like `{"server.port": 9000}`. Raises ConfigError."""
    report = Report()
    if path is None:
        begin = environment.start(environ)
        shape, passthrough, source = Shape(begin.root, flat=False), begin.passthrough, begin.source
        report.warnings.extend(begin.warnings)
    else:
        shape, passthrough, source = collect(parse_file(path), f"{path}:1:1", report), False, str(path)
        if environ.get(environment.TARGET):
            report.warn(environment.TARGET, f"is ignored, because the settings come from {path}")
    root: Node = shape.root
    arguments = [
        (name.split("."), Scalar(text=str(value), where=f"argument {name}", literal=True))
        for name, value in overrides.items()
        if value is not None
    ]
    for keys, value in [*environment.overrides(environ), *arguments]:
        root = replaced(root, keys, value)
    assert isinstance(root, Mapping)
    base = Path() if path is None else path.parent
    settings = _assemble(Shape(root, shape.flat), environ, base, report)
    if settings is None or report.errors:
        raise ConfigError("\n".join(sorted(report.errors, key=_position)))
    return Loaded(
        settings=structs.replace(
            settings,
            passthrough=passthrough,
            config_dir=None if path is None else str(path.parent.absolute()),
        ),
        warnings=report.warnings,
        literal_secrets=report.literal_secrets,
        source=source,
    )


def _assemble(shape: Shape, environ: Environ[str, str], base: Path, report: Report) -> Settings | None:
    """All parts together; None only if something was reported."""
    root = shape.root
    rest = Mapping(
        items={key: item for key, item in root.items.items() if key != "backends"}, where=root.where
    )
    values: dict[str, Any] = Binder(environ, base, report).fields(rest, FileSettings, "")
    before = len(report.errors)
    backends, of_backends = _backends(shape, environ, base, report)
    complete = len(report.errors) == before
    if INVALID in values.values():
        return None
    from_file: list[KeySettings] = values.get("keys", [])
    keys = _with_own_key(from_file, environ, report)
    _check_keys(keys, root, report)
    if keys and any(backend.forward_authorization for backend in backends):
        report.error(
            value_at(root, "keys") if from_file else environment.OWN_KEY,
            "keys and a backend with forward_authorization (as TARGET_BASE_URL makes one) exclude each other: "
            "the clients' keys for this gateway would be sent to the upstream",
        )
    models: dict[str, ModelEntry] = values.get("models", {})
    server = _with_tls_files(values.get("server", ServerSettings()), root, base, report)
    settings = Settings(
        server=server,
        admin=values.get("admin", AdminSettings()),
        egress=_with_sound_networks(values.get("egress", EgressSettings()), root, report),
        discovery=values.get("discovery", DiscoverySettings()),
        data_dir=_data_dir(values.get("data_dir"), environ, base),
        keys=keys,
        backends=backends,
        models=plain(models),
        **{name: values[name] for name in _AS_READ if name in values},
    )
    _check_ports(settings, root, report)
    levels = levels_of(settings, models, values.get("variants", {}), of_backends, environ, root, report)
    settings = structs.replace(settings, shaping=levels)
    if complete:  # otherwise targets seem to name backends that are not there
        check_routing(settings, root, report)
    return settings


def _with_sound_networks(egress: EgressSettings, root: Mapping, report: Report) -> EgressSettings:
    try:
        rules_of(egress, Named.LOCALLY)
    except ConfigError as error:
        report.error(value_at(root, "egress"), str(error))
    return egress


def _backends(
    shape: Shape, environ: Environ[str, str], base: Path, report: Report
) -> tuple[list[BackendSettings], dict[str, Level]]:
    """The backends, and by their names what each says of shaping."""
    found = entry(shape.root, "backends")
    node = found.node if found is not None else Sequence(items=[], where=shape.root.where)
    if is_null(node):
        node = Sequence(items=[], where=node.where)
    if not isinstance(node, Sequence):
        report.error(node.where, "backends: expected a list, one item per upstream")
        return [], {}
    if not node.items and not report.errors:
        report.error(node.where, "no backends: add `backends:` with the `url` of at least one upstream")
    assembler = Assembler(environ, base, report)
    read = [
        (item, assembler.read(item, "" if shape.flat else f"backends[{at}]"))
        for at, item in enumerate(node.items)
    ]
    good = [(item, values) for item, values in read if values is not None]
    default = "default" if shape.flat and len(node.items) == 1 else None
    settle_names([values for _, values in good], default, [item for item, _ in good], report)
    levels: dict[str, Level] = {values["name"]: values.pop("level") for _, values in good}
    return [BackendSettings(**values) for _, values in good], levels


def _with_own_key(keys: list[KeySettings], environ: Environ[str, str], report: Report) -> list[KeySettings]:
    own = environ.get(environment.OWN_KEY)
    if not own or any(item.key == own for item in keys):
        return keys
    if any(item.name == "default" for item in keys):
        report.error(
            environment.OWN_KEY, "its key is named `default`, and `keys:` has another key of that name"
        )
        return keys
    return [*keys, KeySettings(name="default", key=own)]


def _check_keys(keys: list[KeySettings], root: Mapping, report: Report) -> None:
    where = value_at(root, "keys")
    for at, item in enumerate(keys):
        if not _VISIBLE.fullmatch(item.key):
            report.error(where, f"keys: the key of `{item.name}` holds a blank or a character outside ASCII")
        if any(other.name == item.name for other in keys[:at]):
            report.error(where, f"keys: the name `{item.name}` is used twice")
        for other in keys[:at]:
            if other.key == item.key:
                report.error(where, f"keys: `{other.name}` and `{item.name}` have the same key")


def _check_ports(settings: Settings, root: Mapping, report: Report) -> None:
    server, admin = settings.server, settings.admin
    if not is_loopback(admin.host):
        report.error(
            value_at(root, "admin", "host"),
            f"admin.host: must be loopback, not {admin.host!r}: the admin port has no key yet",
        )
    if server.port and server.port == admin.port:
        report.error(
            value_at(root, "admin", "port"), f"admin.port: {admin.port} is the port of `server` already"
        )


def _with_tls_files(server: ServerSettings, root: Mapping, base: Path, report: Report) -> ServerSettings:
    """The server with paths that do not depend on the working directory."""
    for field in ("tls_cert_path", "tls_key_path"):
        written: str | None = getattr(server, field)
        if written is None:
            continue
        path = base / written
        if not path.is_file():
            report.error(value_at(root, "server", field), f"server.{field}: there is no file {path}")
        server = structs.replace(server, **{field: str(path)})
    if server.tls_key_path is not None and server.tls_cert_path is None:
        report.error(value_at(root, "server", "tls_key_path"), "server.tls_key_path: needs tls_cert_path too")
    return server


def _data_dir(written: str | None, environ: Environ[str, str], base: Path) -> str | None:
    """The folder for what survives a restart (XDG Base Directory Specification); None: there is no home either."""
    if written is not None:
        return str(base / Path(written).expanduser())
    data_home, home = environ.get("XDG_DATA_HOME", ""), environ.get("HOME", "")
    if not data_home.startswith("/"):  # "If [...] relative, consider the path invalid and ignore it."
        if not home.startswith("/"):
            return None
        data_home = f"{home}/.local/share"
    return f"{data_home}/trunkline"


def _position(line: str) -> tuple[int, int]:
    """Sorts reported lines as they stand in the file; what comes from elsewhere goes first."""
    match = _POSITION.search(line)
    return (int(match[1]), int(match[2])) if match else (0, 0)
