"""policy/permission.py: what a key may not ask for."""

import pytest

from trunkline.errors import Fault
from trunkline.policy.keys import ANONYMOUS, Key
from trunkline.policy.permission import body_fault, may_use, pin_fault
from trunkline.wire.call import ParsedBody

LIMITED = Key("small", ("good", "fine-*"))


def parsed(model: str, *, lists: bool = False) -> ParsedBody:
    return ParsedBody(model, False, False, b"{}", lists)


@pytest.mark.parametrize(
    ("key", "pin", "says"),
    [
        (ANONYMOUS, "one", None),
        (Key("team", pin=True), "one", None),
        (Key("team"), "one", ("backend_not_allowed", 403)),
        (Key("team"), "nobody", ("backend_not_allowed", 403)),  # who may not choose learns no names
        (ANONYMOUS, "nobody", ("backend_not_found", 400)),
        (ANONYMOUS, "", ("backend_not_found", 400)),
    ],
)
def test_the_choice_of_a_backend(key: Key, pin: str, says: tuple[str, int] | None) -> None:
    fault = pin_fault(key, pin, {"one": 1})
    assert (None if fault is None else (fault.error_code, fault.http_status)) == says


@pytest.mark.parametrize(
    ("key", "body", "path_model", "says"),
    [
        (ANONYMOUS, parsed("", lists=True), "", None),
        (LIMITED, parsed("good"), "", None),
        (LIMITED, parsed("fine-1"), "good", None),
        (LIMITED, parsed("good", lists=True), "", "lists of models"),
        (LIMITED, parsed("other"), "", "the model `other`"),
        (LIMITED, parsed("good"), "other", "the model `other`"),
        (LIMITED, parsed(""), "", "name no model"),
        (LIMITED, parsed(""), "good", "name no model"),  # a form: its path's model is not put into it
    ],
)
def test_what_a_limited_key_may_not_send(
    key: Key, body: ParsedBody, path_model: str, says: str | None
) -> None:
    fault = body_fault(key, body, path_model)
    if says is None:
        assert fault is None
    else:
        assert fault is not None
        assert (fault.http_status, fault.error_code) == (403, "model_not_allowed")
        assert says in fault.message


def test_who_may_use_a_model_may_use_its_variants() -> None:
    def base(name: str) -> str:
        return name.removesuffix("@low")

    def fault(models: tuple[str, ...], model: str) -> Fault | None:
        return body_fault(Key("k", models), ParsedBody(model, False, True, b""), "", base)

    assert fault(("chat",), "chat@low") is None
    assert fault(("chat@low",), "chat@low") is None
    assert fault(("chat@low",), "chat") is not None
    assert fault(("chat",), "chat@high") is not None


@pytest.mark.parametrize(
    ("globs", "model", "base", "may"),
    [
        (("*-mini",), "secret@as-mini", "secret", False),
        (("*-mini",), "o4-mini@low", "o4-mini", True),
        (("*-mini",), "o4-mini@low", "o4-mini@low", False),
        (("*",), "secret@low", "secret", True),
        (("chat@*",), "chat@low", "chat", True),
        (("chat@*",), "chat", "chat", False),
        (("*@low",), "secret@low", "secret", True),
        (("*@low",), "secret@high", "secret", False),
        (("claude@2024",), "claude@2024@low", "claude@2024", True),
        (None, "secret@low", "secret", True),
        ((), "secret@low", "secret", False),
    ],
)
def test_globs_without_a_variant_are_for_models(
    globs: tuple[str, ...] | None, model: str, base: str, may: bool
) -> None:
    assert may_use(Key("k", globs), model, base) is may
