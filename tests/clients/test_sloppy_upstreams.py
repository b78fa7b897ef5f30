"""Upstreams that are careless in the small things of a stream: clients see none of it."""

import pytest

from tests.clients.suite import Client, Told, asks, check_stream, text_for

pytestmark = pytest.mark.timeout(600)


@asks("stream", fault="no_done")
def test_a_stream_without_its_last_event(client: Client, told: Told) -> None:
    assert told.sound["text"] == text_for(client)


@asks("stream", fault="sloppy=role")
def test_a_stream_without_a_role(client: Client, told: Told) -> None:
    check_stream(client, told)


@asks("stream", fault="sloppy=ids")
def test_a_stream_whose_chunks_have_ids_of_their_own(client: Client, told: Told) -> None:
    check_stream(client, told)


@asks("stream", fault="sloppy=object")
def test_a_stream_whose_chunks_do_not_say_what_they_are(client: Client, told: Told) -> None:
    check_stream(client, told)


@asks("stream", fault="sloppy=finish")
def test_a_stream_that_ends_twice(client: Client, told: Told) -> None:
    check_stream(client, told)


@asks("stream", fault="sloppy=calls")
def test_empty_lists_of_calls(client: Client, told: Told) -> None:
    check_stream(client, told)


@asks("tool_stream", fault="tools=1;sloppy=calls")
def test_calls_without_index_and_with_null(client: Client, told: Told) -> None:
    (call,) = told.sound["calls"]
    assert call["name"] == "get_weather"
    assert call["arguments"]["city"].istitle()
    assert call["arguments"]["days"] == 1


@asks("stream", fault="usage=cumulative", of="openai-2 openai-3 langchain node-openai")
def test_growing_usage_is_hidden_from_those_who_do_not_ask(client: Client, told: Told) -> None:
    assert told.sound["usage"] == []


@asks("stream_usage", fault="usage=cumulative")
def test_growing_usage_is_told_once(client: Client, told: Told) -> None:
    assert told.sound["usage"] == [len(text_for(client).split())]


@asks("stream", fault="usage=cumulative", of="pydantic-ai")
def test_growing_usage_is_not_added_up(client: Client, told: Told) -> None:
    assert told.sound["usage"] == [len(text_for(client).split())]
