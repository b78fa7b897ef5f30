"""The small surfaces: audio, images, health, and the echo behind every other path."""

import hashlib

import msgspec

from trunkline.simulator.answer import Answer, json_answer
from trunkline.simulator.surfaces.base import CREATED, Ask
from trunkline.simulator.text import digest, words

ECHO_LIMIT = 64 * 1024
"""Bytes of a request body that the echo repeats; of longer ones it gives only length and hash."""
_SPEECH_BLOCKS = 256
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def health(_ask: Ask) -> Answer:
    """It is always well."""
    return json_answer({"status": "ok"})


class SpeechRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    input: str


def speech(ask: Ask) -> Answer:
    """Bytes that pass for an MP3 file: a tag, then 8 KiB that depend on the text."""
    call = ask.decode(SpeechRequest)
    key = digest(ask.seed, ask.base, call.input)
    noise = b"".join(hashlib.sha256(f"{key}{block}".encode()).digest() for block in range(_SPEECH_BLOCKS))
    return Answer(content_type="audio/mpeg", body=b"ID3\x04\x00\x00\x00\x00\x00\x00" + noise)


def transcription(ask: Ask) -> Answer:
    """What arrived: the length and hash of the whole multipart body, and a text that depends on it."""
    body = ask.request.body
    sha256 = hashlib.sha256(body).hexdigest()
    text = "".join(words(digest(ask.seed, ask.base, sha256), ask.fault.words))
    return json_answer({"text": text, "bytes": len(body), "sha256": sha256})


class ImageRequest(msgspec.Struct):
    """What is read of a request; other fields are accepted and ignored."""

    prompt: str
    n: int | None = None


def images(ask: Ask) -> Answer:
    """As many images as asked, of one pixel each."""
    call = ask.decode(ImageRequest)
    data = [{"b64_json": _PIXEL, "revised_prompt": call.prompt}] * (call.n or 1)
    return json_answer({"created": CREATED, "data": data})


def echo(ask: Ask) -> Answer:
    """What arrived."""
    request = ask.request
    try:
        text = request.body.decode() if len(request.body) < ECHO_LIMIT else None
    except UnicodeDecodeError:
        text = None
    return json_answer(
        {
            "method": request.method,
            "path": request.target,
            "headers": request.headers,
            "body_length": len(request.body),
            "body_sha256": hashlib.sha256(request.body).hexdigest(),
            "body_text": text,
        }
    )
