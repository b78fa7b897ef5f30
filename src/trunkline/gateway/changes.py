"""What differs between two configurations: in words, and what of it a running gateway cannot take up.

Pure. Does not own what becomes of the rest (engine/snapshot.py).
"""

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import structs

from trunkline.config.model import Settings

_OF_SERVER = ("host", "port", "max_connections", "reuse_port")


def pending(now: Settings, wanted: Settings) -> tuple[Settings, list[str]]:
    """The settings that can be had without a restart, and the names of those that need one."""
    names = [f"server.{field}" for field in _OF_SERVER if _differs(now.server, wanted.server, field)]
    server = structs.replace(wanted.server, **{field: getattr(now.server, field) for field in _OF_SERVER})
    if (now.server.tls_cert_path is None) != (wanted.server.tls_cert_path is None):
        names.append("server.tls_cert_path")
        server = structs.replace(
            server, tls_cert_path=now.server.tls_cert_path, tls_key_path=now.server.tls_key_path
        )
    names += [f"admin.{field}" for field in ("host", "port") if _differs(now.admin, wanted.admin, field)]
    if now.data_dir != wanted.data_dir:
        names.append("data_dir")
    return structs.replace(wanted, server=server, admin=now.admin, data_dir=now.data_dir), names


def differences(old: Settings, new: Settings, renewed: Collection[str] = ()) -> str:
    """What a reload changed, in one line: `backends +1 ~2, rules`; "" for nothing.

    `renewed`: backends that are reached in a new way although nothing of theirs was changed (their certificates were).
    """
    found = [
        _counts("backends", _by_name(old.backends), _by_name(new.backends), renewed),
        _counts("models", old.models, new.models),
        _counts("keys", _by_name(old.keys), _by_name(new.keys)),
    ]
    others = [field for field in Settings.__struct_fields__ if field not in ("backends", "models", "keys")]
    found += [field for field in others if _differs(old, new, field)]
    return ", ".join(filter(None, found))


def _differs(one: object, other: object, field: str) -> bool:
    return getattr(one, field) != getattr(other, field)


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {item.name: item for item in items}


def _counts(
    what: str, old: Mapping[str, object], new: Mapping[str, object], renewed: Collection[str] = ()
) -> str:
    """`backends +1 -2 ~3`: what came, went and changed."""
    came, gone = len(new.keys() - old.keys()), len(old.keys() - new.keys())
    changed = sum(old[name] != new[name] or name in renewed for name in old.keys() & new.keys())
    numbers = [f"{sign}{count}" for sign, count in (("+", came), ("-", gone), ("~", changed)) if count]
    if not numbers and list(old) != list(new):
        numbers = ["in another order"]
    return " ".join([what, *numbers]) if numbers else ""
