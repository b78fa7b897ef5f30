import pytest

from trunkline.providers.base import Profile, key_doubt
from trunkline.providers.registry import PROVIDERS

ROW = Profile(
    name="p", title="P", kind="hosted", own_hosts=("a.example", ".b.example"), key_prefixes=("pk-", "px-")
)


def test_a_row_says_little_where_a_provider_is_like_the_others() -> None:
    row = Profile(name="x", title="X", kind="any")
    assert (row.base_url, row.key_variables, row.local, row.health) == (None, (), False, "/v1/models")
    assert (row.auth, row.models_path, row.models_key, row.stream_options) == (
        "bearer",
        "/v1/models",
        "data",
        True,
    )
    assert row.refuses == frozenset()


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("a.example", True),
        ("x.b.example", True),
        ("x.y.b.example", True),
        ("b.example", False),
        ("x.a.example", False),
        ("evila.example", False),
        ("evilb.example", False),
        ("b.example.evil", False),
    ],
)
def test_a_host_is_its_own_by_whole_name_or_below_one(host: str, own: bool) -> None:
    assert ROW.owns(host) is own


def test_a_configured_style_holds_for_every_path() -> None:
    row = PROVIDERS["anthropic"]
    assert row.auth_at("/v1/messages") == "x-api-key"
    assert row.auth_at("/v1/models") == "x-api-key"
    assert row.auth_at("/v1/chat/completions") == "bearer"
    assert row.auth_at("/v1/chat/completions", "api-key") == "api-key"


@pytest.mark.parametrize(
    ("key", "doubt"),
    [
        ("pk-1", ""),
        ("px-1", ""),
        ("", ""),
        (" pk-1", "begins or ends with a blank"),
        ("pk-1\n", "begins or ends with a blank"),
        ("'pk-1'", "has quotes around it"),
        ('pk-1"', "has quotes around it"),
        ("Bearer pk-1", "begins with `Bearer`, which is added when it is sent"),
        ("pk-1 2", "holds a blank or a character that no key has"),
        ("pk-é", "holds a blank or a character that no key has"),
        ("gsk-1", "does not begin with `pk-` or `px-`, as keys of P do"),
    ],
)
def test_doubts_about_a_key_do_not_show_it(key: str, doubt: str) -> None:
    assert key_doubt(ROW, key) == doubt


def test_any_key_may_be_right_where_nothing_is_known() -> None:
    assert key_doubt(PROVIDERS["vllm"], "not-needed") == ""


def test_streams_are_asked_for_usage_where_that_is_taken() -> None:
    taking, refusing = (
        Profile(name="x", title="X", kind="any"),
        Profile(name="x", title="X", kind="any", stream_options=False),
    )
    since = Profile(name="x", title="X", kind="any", stream_options="2024-09-01")
    assert taking.takes_stream_options()
    assert taking.takes_stream_options("2020-01-01")
    assert not refusing.takes_stream_options()
    assert not refusing.takes_stream_options("2030-01-01")
    assert since.takes_stream_options()
    assert since.takes_stream_options("v1")
    assert since.takes_stream_options("2024-09-01-preview")
    assert not since.takes_stream_options("2024-08-01-preview")
