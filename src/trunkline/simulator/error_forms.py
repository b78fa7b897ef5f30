"""The forms that error bodies take in the wild, numbered; asked for with `error_form=N`.

Owns the bodies. Does not own which request gets one (`dispatch.py`). Each form says the same message in its own place.
"""

from typing import Any, Final

import msgspec

from trunkline.simulator.answer import SSE, Answer, Event

FORMS: Final = 17
_STATUS: Final = {6: 422, 7: 422, 8: 422, 16: 413, 17: 200}
"""The status that a form usually comes with; the others with 400."""


def usual_status(form: int) -> int:
    """The status where none was asked for."""
    return _STATUS.get(form, 400)


def form_answer(form: int, status: int, message: str, headers: list[tuple[str, str]]) -> Answer:
    """An error in one of the forms, 1 to 17."""
    if form == 5:  # what stands in front of the model server
        return Answer(status=status, content_type="text/plain", headers=headers, body=message.encode())
    if form == 16:  # likewise; the page does not say what went wrong
        page = f"<html><head><title>{status}</title></head><body><center>nginx</center></body></html>\n"
        return Answer(status=status, content_type="text/html", headers=headers, body=page.encode())
    body = msgspec.json.encode(_value(form, status, message))
    if form == 17:  # a stream that began well
        return Answer(status=status, content_type=SSE, headers=headers, events=(Event(body),), count=1)
    return Answer(status=status, headers=headers, body=body)


def _value(form: int, status: int, message: str) -> Any:
    """The JSON forms; each comment names one who answers so."""
    openai = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request"}
    match form:
        case 2:  # Azure behind a corporate proxy
            return {"error": {"message": [{"error": {"message": message}}]}}
        case 3:  # Ollama
            return {"error": message}
        case 4:  # TRT-LLM, SGLang
            kind = "BadRequestError"
            return {"object": "error", "message": message, "type": kind, "param": None, "code": status}
        case 6:  # FastAPI
            return {"detail": [{"loc": ["body", "messages"], "msg": message, "type": "value_error"}]}
        case 7:  # TGI
            return {"error": message, "error_type": "validation"}
        case 8:  # TEI
            return {"message": message, "code": status, "type": "Validation"}
        case 9:  # llama.cpp
            kind = "exceed_context_size_error"
            return {"error": {"code": status, "message": message, "type": kind} | _SIZES}
        case 10:  # Anthropic
            return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
        case 11:  # OpenRouter
            metadata = {"raw": _text({"error": openai}), "provider_name": "Simulator"}
            return {"error": {"message": "Provider returned error", "code": status, "metadata": metadata}}
        case 12:  # LiteLLM
            text = f"litellm.BadRequestError: OpenAIException - {_text({'error': openai})}. Received Model Group=sim"
            return {"error": {"message": text, "type": None, "param": None, "code": str(status)}}
        case 13:  # Cloudflare
            text = f"AiError: AiError: {_text({'object': 'error', 'message': message, 'code': status})}"
            return {"errors": [{"message": text, "code": 8007}], "success": False, "result": {}}
        case 14:  # Gemini
            return [{"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}]
        case 15:  # MiniMax
            return {"base_resp": {"status_code": 1039, "status_msg": message}}
        case _:  # 1, and what 17 has in its event: OpenAI
            return {"error": openai}


_SIZES: Final = {"n_prompt_tokens": 9000, "n_ctx": 4096}


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
