"""policy/keys.py: who is let in, what a key may use, and that no repr tells a secret."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import INVALID_KEY, Fault
from trunkline.policy.keys import ANONYMOUS, Key, Keyring, KeySettings, key_of

SETTINGS = [
    KeySettings(name="a", key="sk-one", models=["chat", "llama3*", "odd[1]"]),
    KeySettings(name="b", key="schlüssel"),
    KeySettings(name="c", key="none", models=[]),
]


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({b"authorization": b"Bearer sk-one"}, "a"),
        ({b"authorization": b"bearer   sk-one "}, "a"),
        ({b"authorization": "BEARER schlüssel".encode()}, "b"),
        ({b"x-api-key": b"none"}, "c"),
        ({b"api-key": b"sk-one"}, "a"),
        ({b"x-api-key": b"", b"api-key": b"sk-one"}, "a"),
        ({b"authorization": b"Bearer sk-one", b"x-api-key": b"wrong"}, "a"),
    ],
)
def test_where_a_key_may_stand(headers: dict[bytes, bytes], name: str) -> None:
    key = Keyring(SETTINGS).check(headers)
    assert isinstance(key, Key)
    assert key.name == name


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({}, "no key"),
        ({b"authorization": b""}, "must read"),
        ({b"authorization": b"Bearer"}, "no key"),
        ({b"authorization": b"Bearer "}, "no key"),
        ({b"authorization": b"Basic sk-one"}, "must read"),
        ({b"authorization": b"sk-one"}, "must read"),
        ({b"authorization": b"Bearer sk-one", b"x": b"y"} | {b"authorization": b"Bearer sk-on"}, "wrong key"),
        ({b"authorization": b"Bearer sk-one x"}, "wrong key"),
        ({b"authorization": b"Bearer SK-ONE"}, "wrong key"),
        ({b"authorization": b"Bearer wrong", b"x-api-key": b"sk-one"}, "wrong key"),
        ({b"x-api-key": b"Bearer sk-one"}, "wrong key"),
        ({b"x-api-key": b""}, "no key"),
    ],
)
def test_who_is_not_let_in(headers: dict[bytes, bytes], what: str) -> None:
    fault = Keyring(SETTINGS).check(headers)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.http_status) == (INVALID_KEY, 401)
    assert what in fault.message


def test_a_key_has_its_tags_and_whether_it_may_choose_the_backend() -> None:
    ring = Keyring([KeySettings(name="a", key="x", tags=["batch", "eu"], pin=True), SETTINGS[0]])
    assert ring.check({b"x-api-key": b"x"}) == Key("a", None, ("batch", "eu"), pin=True)
    other = ring.check({b"x-api-key": b"sk-one"})
    assert isinstance(other, Key)
    assert (other.tags, other.pin) == ((), False)


@given(st.binary(max_size=12))
def test_only_the_very_key_opens(token: bytes) -> None:
    known = {b"sk-one", "schlüssel".encode(), b"none"}
    assert isinstance(Keyring(SETTINGS).check({b"x-api-key": token}), Key) is (token in known)


def test_without_keys_everyone_is_let_in() -> None:
    ring = Keyring([])
    assert ring.open
    assert ring.check({}) is ANONYMOUS
    assert ring.check({b"authorization": b"Basic x"}) is ANONYMOUS
    assert ANONYMOUS.allows("anything")
    assert ANONYMOUS.pin
    assert not Keyring(SETTINGS).open


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        *[("chat", True), ("Chat", False), ("chat2", False), ("", False)],
        *[
            ("llama3", True),
            ("llama3-8b", True),
            ("LLAMA3", False),
            ("odd[1]", True),
            ("odd1", True),
            ("odd2", False),
        ],
    ],
)
def test_models_are_exact_names_or_globs(model: str, allowed: bool) -> None:
    key = Keyring(SETTINGS).check({b"x-api-key": b"sk-one"})
    assert isinstance(key, Key)
    assert key.allows(model) is allowed


def test_an_empty_list_of_models_allows_none() -> None:
    key = Keyring(SETTINGS).check({b"x-api-key": b"none"})
    assert isinstance(key, Key)
    assert not key.allows("chat")


def test_no_repr_tells_a_secret() -> None:
    shown = repr(SETTINGS) + repr(Keyring(SETTINGS)) + repr(SETTINGS[0].__rich_repr__())
    assert not any(item.key in shown for item in SETTINGS[:2])
    assert "<KeySettings a>" in shown
    assert "<Keyring of 3>" in shown


@pytest.mark.parametrize(
    "raw", [b'{"name":"","key":"k"}', b'{"name":"n","key":""}', b'{"name":"n"}', b'{"key":"k"}']
)
def test_a_key_has_a_name_and_a_secret(raw: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=KeySettings)


def test_a_key_brings_its_overrides() -> None:
    some = KeySettings(name="k", key="kkk", params={"user": msgspec.Raw(b'"k"'), "n": msgspec.Raw(b"null")})
    found = key_of(some)
    assert found.overrides is not None
    assert found.overrides.apply({"n": msgspec.Raw(b"2")})[0] == {"user": msgspec.Raw(b'"k"')}
    assert key_of(KeySettings(name="k", key="kkk")).overrides is None
