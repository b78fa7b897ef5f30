"""What to do about an answer that is none: a refusal or a failure, put into one sentence for whoever runs the gateway.

Owns the words, and what only they need to tell apart: pages, redirects, models that are not loaded. Does not own what
a refusal means to a call (routing/faults.py, which is asked first) nor looking around for a better address
(elsewhere.py).
"""

import re
import time
from urllib.parse import urlsplit

from trunkline import errors
from trunkline.engine.diagnosis.case import Case
from trunkline.engine.diagnosis.finding import Finding, fail, from_message
from trunkline.engine.diagnosis.written import key_source
from trunkline.errors import Answer, Fault, Kind
from trunkline.net.url import redact
from trunkline.providers import overflow
from trunkline.providers.base import key_doubt
from trunkline.routing.faults import classify
from trunkline.wire.error_body import extract_message, readable
from trunkline.wire.retry_after import parse_retry_after

_PAGE = re.compile(rb"\s*<(?:!doctype html|html|head|body|\?xml[^>]*>\s*<!doctype html)", re.IGNORECASE)
# LM Studio; text-generation-webui; LocalAI; KoboldCpp and others.
_NOT_LOADED = re.compile(
    r"no models? (?:is |are )?(?:currently )?loaded|model (?:is |was )?(?:not loaded|unloaded)|load a model|"
    r"(?:could not|cannot|failed to|unable to|error) load(?:ing)? (?:the )?model",
    re.IGNORECASE,
)
_LOADING = re.compile(
    r"loading model|model is (?:currently )?(?:loading|starting)|still loading|warming up", re.IGNORECASE
)
_NO_MEMORY = re.compile(r"out of memory|more system memory|insufficient memory|CUDA error", re.IGNORECASE)
_PATH_IS_WRONG = (404, 405, 501)
_HOW_TO_LOAD = {
    "lmstudio": "load it in LM Studio, or with `lms load`",
    "ollama": "start it once with `ollama run`, and see what that says",
    "text-generation-webui": "load it in the Model tab, or start with `--model`",
    "localai": "see LocalAI's log for what its backend says",
}


def is_page(answer: Answer) -> bool:
    """Whether it was made for a browser."""
    kind = dict(answer.headers).get(b"content-type", b"").lower()
    return b"html" in kind or _PAGE.match(answer.body) is not None


def is_wrong_path(answer: Answer) -> bool:
    """Whether there is nothing of the API at that address."""
    return answer.status in _PATH_IS_WRONG or (is_page(answer) and answer.status < 400)


def of_fault(case: Case, fault: Fault) -> Finding:
    """No answer came."""
    message = case.quote(fault.message, 400)
    kind = fault.kind
    if kind in (errors.RESET, errors.CUT):
        return fail(
            message,
            f"see the server's log; if it has none of this request, port {case.base.port} is another program's",
        )
    if kind is errors.MALFORMED:
        return fail(
            message, f"what listens on port {case.base.port} does not speak HTTP/1.1: check the port in `url`"
        )
    if kind is errors.CONNECT_TIMEOUT and ";" not in message:
        waits = "it may be loading a model or be busy; try again when it is ready"
        return fail(
            message, waits if case.upstream.local else "the service is overloaded or hangs; try again later"
        )
    return from_message(message)


def of_answer(case: Case, answer: Answer, asked: str, *, model: str = "") -> Finding:
    """An answer that is a refusal. `asked`: the request in words; `model`: the one that was asked, "" for a list."""
    body = case.upstream.mask(answer.body)
    answer = Answer(answer.status, answer.headers, body)
    if 300 <= answer.status < 400:
        return _redirect(case, answer, asked)
    retry_after = parse_retry_after(dict(answer.headers), time.time(), body)
    fault = classify(answer, retry_after, own_credential=True, overflow=overflow.read(answer.status, body))
    said = extract_message(readable(answer, "openai") or body).message
    says = f"{asked} was answered with status {answer.status}"
    if said and not said.startswith("the upstream answered"):
        says += f": {case.quote(said)}"
    kind = fault.kind
    if kind is errors.MODEL_NOT_FOUND and not model:
        kind = errors.INVALID_REQUEST  # a framework's "cannot GET /v1/models"
    link = case.row.status_page if answer.status >= 500 else ""
    return fail(says, _fix(case, answer, fault, kind, said, model), link=link)


def _fix(case: Case, answer: Answer, fault: Fault, kind: Kind, said: str, model: str) -> str:
    status = answer.status
    if kind is errors.AUTH:
        return _about_credential(case)
    if kind is errors.PERMISSION:
        if is_page(answer):
            return "a firewall or login page in front refuses this machine: ask who runs it"
        what = f" for {case.name(model)}" if model else ""
        return (
            f"the credential has no permission{what}: check its project, roles, region and allowed addresses"
        )
    if kind is errors.QUOTA:
        return f"the account has no credit or its limit is used up: see its billing page{_docs(case)}"
    if kind is errors.RATE_LIMIT:
        wait = f"wait {fault.retry_after:.0f} s" if fault.retry_after else "wait a minute"
        return f"too many requests or tokens for this account just now: {wait}, or ask for higher limits"
    if _LOADING.search(said):
        return "the server is loading its model: wait until it is ready and run this again"
    if _NO_MEMORY.search(said):
        return "the model does not fit into the server's memory: take a smaller one, or a smaller context"
    if _NOT_LOADED.search(said):
        how = _HOW_TO_LOAD.get(case.row.name, "load it there, or name another one in `models`")
        return f"the model is not loaded in the server: {how}"
    if kind is errors.MODEL_NOT_FOUND:
        return about_model(case, model)
    if kind is errors.UPSTREAM_OVERLOADED:
        return f"the service is overloaded: try again later{_status_page(case)}"
    if status in _PATH_IS_WRONG:
        return _about_path(case)
    if kind is errors.UPSTREAM_TIMEOUT or status >= 500:
        if case.row.kind == "hosted":
            return f"the service has failed: try again{_status_page(case)}"
        if is_page(answer) and status in (502, 503, 504):
            return "a reverse proxy in front answered, and not the server: is the server itself running?"
        return "the server itself has failed: see its log"
    return "see what it says: `provider` decides which parameters are sent"


def about_model(case: Case, model: str) -> str:
    """What to do where a server does not have a model."""
    listed = [item.id for item in case.models or ()]
    tagged = [name for name in listed if name.partition(":")[0] == model.partition(":")[0]]
    if case.row.name == "ollama":
        if tagged:
            return f"names have tags there: write {case.name(tagged[0])} (without one it is `:latest`)"
        return f"pull it there: `ollama pull {case.quote(model, 80)}`"
    if case.row.name == "azure":
        return "write the name of a deployment of yours, not that of its model (`deployment_name`)"
    folded = [name for name in listed if name.lower() == model.lower() or name.rpartition("/")[2] == model]
    if folded:
        return f"it is called {case.name(folded[0])} there"
    if listed:
        some = ", ".join(case.name(name) for name in listed[:5])
        return (
            f"name one that it has in `models` or `default_model`: {some}{' ...' if len(listed) > 5 else ''}"
        )
    return f"check the name in `models` or `default_model`{_docs(case)}"


def of_page(case: Case) -> str:
    """What to do where a page came instead of an API."""
    return f"`url` leads to a web page, not to an API: check port and path{_example(case)}"


def _about_path(case: Case) -> str:
    if case.base.path:
        usual = _example(case) or f"; most servers have it right at {case.place}"
        return f"there is no such API below the path in `url`: check it{usual}"
    return (
        f"there is no such API on this server: check port and path in `url`, and `provider`{_example(case)}"
    )


def _about_credential(case: Case) -> str:
    if case.upstream.oauth is not None:
        return "the token is refused: check `token_scope`, and that this client has a role at the service"
    settings = case.settings
    if settings.forward_authorization:
        return "it wants the client's own credential, which `doctor` does not have"
    if not settings.api_key:
        if case.has_own_credential:
            return "the credential in `headers` is refused: check it"
        variables = case.row.key_variables
        also = f" (for {case.row.title} itself also by {variables[0]})" if variables else ""
        return f"it wants a key: set `api_key`{also}"
    doubt = key_doubt(case.row, settings.api_key)
    if doubt:
        return f"the key {doubt}: correct {key_source(case)}"
    if settings.auth is None and case.row.kind in ("any", "gateway"):
        return f"the key is refused: check {key_source(case)}, and whether it goes in another header (`auth: api-key`)"
    return f"the key is refused: check that {key_source(case)} is current, whole, and for this service{_docs(case)}"


def _redirect(case: Case, answer: Answer, asked: str) -> Finding:
    says = f"{asked} was answered with a redirect ({answer.status}), and those are not followed"
    location = dict(answer.headers).get(b"location", b"").decode("latin-1")
    parts = urlsplit(location) if location.isprintable() else urlsplit("")
    if not parts.netloc:
        return fail(says, "`url` leads to a web page or has a path too many: check its path")
    place = case.quote(redact(location))
    if parts.scheme == "https" and case.base.scheme == "http" and parts.hostname == case.base.host:
        return fail(says, "write https:// in `url`")
    return fail(
        says,
        f"it redirects to {place}: if that is the API, write it in `url`; a login page wants a credential",
    )


def _status_page(case: Case) -> str:
    return f", and see {case.row.status_page}" if case.row.status_page else ""


def _docs(case: Case) -> str:
    return f" ({case.row.docs})" if case.row.docs else ""


def _example(case: Case) -> str:
    usual = case.row.base_url or case.row.url_example
    return f"; for {case.row.title} it is like {usual}" if usual and case.row.kind != "any" else ""
