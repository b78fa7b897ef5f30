from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import INVALID_REQUEST, Fault
from trunkline.providers.ollama_request import NATIVE, PATH, asked_natively, native_request
from trunkline.providers.shape import Shaped

Fields = dict[str, msgspec.Raw]
SAY = '"messages":[{"role":"user","content":"hi"}]'


def fields(text: str) -> Fields:
    return msgspec.json.decode(text, type=Fields)


def asked(rest: str, strict: bool = False) -> Shaped:
    made = native_request(fields("{" + SAY + rest + "}"), strict=strict)
    assert isinstance(made, Shaped), made
    return made


def sent(rest: str) -> str:
    """What is sent beside the messages, and `stream` where it is false."""
    made = {name: value for name, value in asked(rest).fields.items() if name != "messages"}
    if bytes(made["stream"]) == b"false":
        del made["stream"]
    return msgspec.json.encode(made).decode()


def refused(rest: str, strict: bool = False) -> Fault:
    fault = native_request(fields("{" + SAY + rest + "}"), strict=strict)
    assert isinstance(fault, Fault)
    assert fault.kind is INVALID_REQUEST
    return fault


def test_the_whole_of_a_request() -> None:
    made = native_request(
        fields(
            '{"stream":true,"model":"qwen3:8b","temperature":0.70,"max_tokens":1e2,"stop":"\\n","num_ctx":8192,'
            '"keep_alive":"10m","reasoning_effort":"low","user":"u","stream_options":{"include_usage":true},'
            '"messages":[{"role":"user","content":"why is the sky blue?"}]}'
        )
    )
    assert isinstance(made, Shaped)
    assert msgspec.json.encode(made.fields).decode() == (
        '{"model":"qwen3:8b","keep_alive":"10m",'
        '"messages":[{"role":"user","content":"why is the sky blue?"}],"stream":true,'
        '"options":{"temperature":0.70,"stop":["\\n"],"num_ctx":8192,"num_predict":1e2},"think":"low"}'
    )
    assert made.notes == ()
    assert PATH == "/api/chat"


def test_a_stream_is_not_taken_for_granted() -> None:
    assert bytes(asked("").fields["stream"]) == b"false"
    assert bytes(asked(',"stream":null').fields["stream"]) == b"false"
    assert bytes(asked(',"stream":true').fields["stream"]) == b"true"


@pytest.mark.parametrize(
    ("rest", "result"),
    [
        ("", "{}"),
        (',"top_k":40,"min_p":0.05', '{"options":{"top_k":40,"min_p":0.05}}'),
        # Those in the object are sent whatever they are; the top has the last word.
        (',"options":{"x":[1 ,2],"seed":1,"top_p":1.0}', '{"options":{"x":[1 ,2],"seed":1,"top_p":1.0}}'),
        (',"seed":2,"options":{"seed":1}', '{"options":{"seed":2}}'),
        (',"seed":null,"options":{"seed":1}', '{"options":{"seed":1}}'),
        (',"options":null,"seed":null', "{}"),
        (',"repetition_penalty":1.1', '{"options":{"repeat_penalty":1.1}}'),
        (',"repetition_penalty":1.1,"repeat_penalty":1.2', '{"options":{"repeat_penalty":1.2}}'),
        (',"stop":["a","b"]', '{"options":{"stop":["a","b"]}}'),
        (',"num_predict":5', '{"options":{"num_predict":5}}'),
        (',"max_completion_tokens":4,"num_predict":5', '{"options":{"num_predict":4}}'),
        (
            ',"max_completion_tokens":4,"max_tokens":3,"options":{"num_predict":9}',
            '{"options":{"num_predict":3}}',
        ),
        (',"max_tokens":null,"max_completion_tokens":4', '{"options":{"num_predict":4}}'),
        (',"keep_alive":0,"truncate":false,"shift":false', '{"keep_alive":0,"truncate":false,"shift":false}'),
        (',"logprobs":true,"top_logprobs":3', '{"logprobs":true,"top_logprobs":3}'),
        (',"response_format":{"type":"text"}', "{}"),
        (',"response_format":{"type":"json_object"}', '{"format":"json"}'),
        (
            ',"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type": "object"}}}',
            '{"format":{"type": "object"}}',
        ),
        (',"format":"json","response_format":{"type":"text"}', '{"format":"json"}'),
        (',"think":false,"reasoning_effort":"high"', '{"think":false}'),
        (',"think":"high"', '{"think":"high"}'),
        (',"reasoning_effort":"none"', '{"think":false}'),
        (',"reasoning_effort":"minimal"', '{"think":"low"}'),
        (',"reasoning_effort":"medium"', '{"think":"medium"}'),
        (',"reasoning_effort":"xhigh"', '{"think":"high"}'),
        (',"reasoning":{"effort":"none"},"reasoning_effort":"high"', '{"think":false}'),
        (',"reasoning":{"enabled":true}', '{"think":true}'),
        (',"reasoning":{"exclude":true},"reasoning_effort":"high"', '{"think":"high"}'),
        (',"reasoning":{"max_tokens":100}', "{}"),
        (',"n":1,"functions":null,"response_format":null', "{}"),
        (',"tools":[{"type":"function"}],"tool_choice":"auto"', '{"tools":[{"type":"function"}]}'),
        (',"tools":[{"type":"function"}],"tool_choice":"none"', "{}"),
    ],
)
def test_fields(rest: str, result: str) -> None:
    made = asked(rest, strict=True)
    assert sent(rest) == result
    assert made.notes == ()


def test_the_tool_that_is_wanted_is_the_only_one_offered() -> None:
    tools = (
        '[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b","x":1.0}}]'
    )
    for choice in ('{"type":"function","function":{"name":"b"}}', '{"type":"function","name":"b"}'):
        made = asked(f',"tools":{tools},"tool_choice":{choice}')
        assert bytes(made.fields["tools"]) == b'[{"type":"function","function":{"name":"b","x":1.0}}]'
        assert made.notes == ("`tool_choice`: only `b` is offered, Ollama cannot be made to call it",)
        assert refused(f',"tools":{tools},"tool_choice":{choice}', strict=True).param == "tool_choice"


@pytest.mark.parametrize(
    "rest",
    [
        ',"tools":[{"function":{"name":"a"}}],"tool_choice":"required"',
        ',"tools":[{"function":{"name":"a"}}],"tool_choice":{"function":{"name":"b"}}',
        ',"tool_choice":{"type":"allowed_tools"}',
    ],
)
def test_a_call_cannot_be_forced(rest: str) -> None:
    made = asked(rest)
    assert made.notes == ("`tool_choice`: Ollama cannot be made to call a tool",)
    assert refused(rest, strict=True).param == "tool_choice"


def test_what_is_left_out_is_said() -> None:
    made = asked(',"logit_bias":{"1":1},"user":"u","seed":1,"x":0,"y":null')
    assert list(made.fields) == ["messages", "stream", "options"]
    assert made.notes == (
        "dropped `logit_bias`: Ollama's /api/chat does not take it",
        "dropped `x`: Ollama's /api/chat does not take it",
    )
    fault = refused(',"logit_bias":{"1":1},"user":"u","seed":1,"x":0,"y":null', strict=True)
    assert "`logit_bias`, `x`" in fault.message
    assert fault.param == "logit_bias"


@pytest.mark.parametrize(
    ("rest", "param"),
    [
        (',"n":2', "n"),
        (',"functions":[{"name":"f"}]', "functions"),
        (',"function_call":"auto"', "function_call"),
        (',"options":[1]', "options"),
        (',"response_format":"json"', "response_format"),
        (',"response_format":{"type":"grammar"}', "response_format"),
        (',"response_format":{"type":"json_schema"}', "response_format"),
        (',"response_format":{"type":"json_schema","json_schema":{"name":"n"}}', "response_format"),
        (',"reasoning_effort":3', "reasoning_effort"),
        (',"reasoning":{"effort":3}', "reasoning"),
        (',"tools":7,"tool_choice":{"function":{"name":"b"}}', "tool_choice"),
        (',"tool_choice":{"function":7}', "tool_choice"),
    ],
)
def test_what_would_be_mistaken_is_refused(rest: str, param: str) -> None:
    assert refused(rest).param == param


def test_messages_are_wanted() -> None:
    for text in ("{}", '{"messages":null}', '{"messages":[7]}'):
        fault = native_request(fields(text))
        assert isinstance(fault, Fault)
        assert fault.param == "messages"
    made = native_request(fields('{"messages":[]}'))
    assert isinstance(made, Shaped), "without any it loads the model"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"model":"m","messages":[],"temperature":1,"seed":1,"stop":[],"reasoning_effort":"low"}', False),
        (
            '{"max_tokens":1,"max_completion_tokens":1,"logprobs":true,"response_format":{"type":"json_object"}}',
            False,
        ),
        ('{"num_ctx":8192}', True),
        ('{"num_ctx":null}', False),
        ('{"num_ctx":null,"keep_alive":-1}', True),
        ('{"think":false}', True),
        ('{"options":{}}', True),
        ('{"top_k":1}', True),
        ('{"repetition_penalty":1.1}', True),
        ('{"truncate":false}', True),
        ('{"format":"json"}', True),
    ],
)
def test_what_only_the_native_path_does(text: str, wanted: bool) -> None:
    assert bool(asked_natively(fields(text))) is wanted


def test_what_only_the_native_path_does_is_told() -> None:
    asked = asked_natively(fields('{"think":true,"seed":1,"num_ctx":8192,"keep_alive":null}'))
    assert asked == ["think", "num_ctx"]
    assert {*asked, "keep_alive"} < NATIVE


_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = (
    "messages",
    "options",
    "tools",
    "tool_choice",
    "response_format",
    "reasoning",
    "stop",
    "n",
    "stream",
    "think",
)


@given(st.dictionaries(st.sampled_from(_NAMES), _JSON))
def test_any_value_gives_a_request_or_a_fault_that_names_a_field(values: dict[str, Any]) -> None:
    made = native_request(fields(msgspec.json.encode({"messages": [], **values}).decode()))
    if isinstance(made, Fault):
        assert made.param is not None
        assert made.param.split("[")[0] in _NAMES
    else:
        assert msgspec.json.decode(msgspec.json.encode(made.fields))["stream"] in (True, False)
