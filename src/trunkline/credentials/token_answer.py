"""What a token endpoint answered, read: a token, or one sentence that says why there is none.

Owns the answers of RFC 6749 5.1 and 5.2 and what real servers make of them. Does not own asking (oauth2.py).

An identity provider is trusted with the credential and with nothing else: what it sends becomes a header only if it
is a token, and a sentence only after secrets and line breaks are out.
"""

import re
from typing import Any

import msgspec

from trunkline.credentials.base import TOKEN, VISIBLE, mask
from trunkline.errors import Answer
from trunkline.wire.error_body import extract_message

MAX_BODY = 64 * 1024  # bytes; a token with all of a directory's groups in it has some 10 KB
MAX_TOKEN = 16 * 1024  # characters; what the heads of common servers hold at the very most
MAX_REASON = 300  # characters

DEFAULT_LIFETIME = 3600.0
"""Seconds, where the server does not say, or nothing that is a number."""
MAX_LIFETIME = 24 * 3600.0
"""Seconds after which the endpoint is asked again whatever it said."""

# Azure AD v1 and others send "3599": the number is read from the text of the value, whatever its type.
_NUMBER = re.compile(rb'"?\s*([+-]?[0-9]{1,400}(?:\.[0-9]{0,400})?(?:[eE][+-]?[0-9]{1,4})?)\s*"?')
_FORM = re.compile(rb"\s*[A-Za-z_]+=[^&\s]*(?:&[A-Za-z_]+=[^&\s]*)*\s*")

# RFC 6749 5.2: what the administrator can do about it.
_HINTS = {
    "invalid_client": "check `client_id` and `client_secret`",
    "invalid_scope": "check `token_scope`",
    "unauthorized_client": "this client may not use the client credentials grant",
    "unsupported_grant_type": "`token_url` does not give tokens for client credentials",
}


class Granted(msgspec.Struct, frozen=True, gc=False):
    """A token: the value of the Authorization header, and for how many seconds it is good."""

    value: str
    lifetime: float

    def __repr__(self) -> str:
        return f"<Granted for {self.lifetime:g} s>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich shows in place of the repr (tracebacks with locals)."""
        return [("lifetime", self.lifetime)]


class _Body(msgspec.Struct):
    """`Any` where servers disagree about the type; what is wrong is said in words."""

    access_token: Any = None
    token_type: Any = None
    expires_in: msgspec.Raw = msgspec.Raw()
    error: Any = None
    error_description: Any = None


_decode = msgspec.json.Decoder(_Body).decode


def read_answer(answer: Answer, secrets: tuple[bytes, ...]) -> Granted | str:
    """Read a token endpoint's answer; a text is the reason why there is no token, without any of `secrets`."""
    if len(answer.body) > MAX_BODY:
        return f"the answer is longer than {MAX_BODY // 1024} KiB"
    if 300 <= answer.status < 400:
        return f"the answer is {answer.status}: redirects are not followed; configure the URL it redirects to"
    try:
        body = _decode(answer.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        body = None
    # An error with status 200 is GitHub's.
    if not 200 <= answer.status < 300 or (body is not None and body.error and not body.access_token):
        return _refusal(answer, body, secrets)
    if body is None:
        what = "a form, not JSON" if _FORM.fullmatch(answer.body) else "not a JSON object"
        return f"the answer is {what}; `token_url` must name the token endpoint of an OAuth2 server"
    return _grant(body)


def _grant(body: _Body) -> Granted | str:
    token = body.access_token
    if not isinstance(token, str) or not token:
        return "the answer has no access_token"
    if len(token) > MAX_TOKEN or not VISIBLE.fullmatch(token):
        return "the access_token is too long or holds characters that no header may hold"
    kind = body.token_type or "Bearer"
    if not isinstance(kind, str) or len(kind) > 64 or not TOKEN.fullmatch(kind):
        return "the token_type is not a word that a header may hold"
    number = _NUMBER.fullmatch(bytes(body.expires_in))
    lifetime = float(number[1]) if number else DEFAULT_LIFETIME
    return Granted(f"{kind} {token}", min(max(lifetime, 0.0), MAX_LIFETIME))


def _refusal(answer: Answer, body: _Body | None, secrets: tuple[bytes, ...]) -> str:
    code = ""
    if body is not None and isinstance(body.error, str):
        code = body.error
        described = body.error_description if isinstance(body.error_description, str) else ""
        text = f"{code}: {described}" if described else code
    else:
        text = extract_message(mask(answer.body, secrets)).message
    if body is not None and isinstance(body.access_token, str):
        secrets = (*secrets, body.access_token.encode("utf-8", "replace"))
    # Masked before it is cut: half a secret is one too. (The extractor cuts, and decodes.)
    text = mask(text.encode("utf-8", "replace"), secrets).decode("utf-8", "replace")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = text[:MAX_REASON].rstrip(".") + " " if text else ""
    hint = _HINTS.get(code) or ("check `token_url`" if answer.status in (404, 405) else "")
    return f"{text}(status {answer.status})" + (f"; {hint}" if hint else "")
