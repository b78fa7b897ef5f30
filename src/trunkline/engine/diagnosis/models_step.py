"""Whether a backend lists models, those of the settings among them, and which of them is asked afterwards.

Owns this step and that choice. Does not own the reading of lists (providers/) nor the words for refusals (advice.py).
"""

import re
from fnmatch import fnmatchcase

from msgspec import structs

from trunkline.engine.diagnosis import advice, elsewhere
from trunkline.engine.diagnosis.case import Case
from trunkline.engine.diagnosis.finding import Finding, fail, ok, skipped, warn
from trunkline.engine.diagnosis.way_there import speaks_tls, wants_tls
from trunkline.errors import CUT, MALFORMED, RESET, Answer, Fault
from trunkline.providers.model_list import parse_models
from trunkline.providers.model_names import names_of, questions_for
from trunkline.routing.plan import is_glob
from trunkline.wire.error_body import extract_message

# Models that do not chat, by the words that are in their names everywhere.
_NO_CHAT = re.compile(
    r"embed|rerank|whisper|\btts\b|-tts|dall-e|gpt-image|moderation|transcribe|audio|realtime|sora|imagen|veo|bge-|"
    r"\be5-|davinci-002|babbage-002|-instruct-0914|ocr|guard|flux|stable-diffusion|speech|sdxl",
    re.IGNORECASE,
)


async def models(case: Case) -> Finding:
    """It lists models, and those that the settings name are among them."""
    settings = case.settings
    questions = questions_for(case.row)
    path = questions.list
    if settings.deployment_name and settings.api_version:
        return skipped("a deployment is one model")
    if path is None:
        return skipped(f"{case.row.title} has no list of models")
    timeout = case.around.list_timeout
    asked = f"GET {path.partition('?')[0]}"
    answer = await case.get(path, timeout)
    second = questions.second
    if second and isinstance(answer, Answer) and answer.status in (404, 405, 501):
        other = await case.get(second, timeout)
        if isinstance(other, Answer) and other.status == 200:
            answer = other
    if isinstance(answer, Fault):
        return await _no_answer(case, answer)
    found = parse_models(answer.body) if answer.status == 200 else None
    if found is not None:
        case.models = found
        return _of_list(case)
    return await _no_list(case, answer, asked)


async def _no_answer(case: Case, fault: Fault) -> Finding:
    finding = advice.of_fault(case, fault)
    if case.base.scheme == "http" and fault.kind in (RESET, CUT, MALFORMED) and await speaks_tls(case):
        return fail("it speaks TLS on this port and was asked in plain text", "write https:// in `url`")
    return finding


async def _no_list(case: Case, answer: Answer, asked: str) -> Finding:
    if case.base.scheme == "http" and (
        wants_tls(answer) or (answer.status == 400 and await speaks_tls(case))
    ):
        return fail("it speaks TLS on this port and was asked in plain text", "write https:// in `url`")
    if answer.status == 200 and not advice.is_page(answer):
        said = extract_message(answer.body).message
        what = f": {case.quote(said)}" if said else ""
        return fail(
            f"{asked} was answered with something that is no list of models{what}",
            "check that `url` is the base of an OpenAI-compatible API",
            ends=not _named(case),
        )
    finding = (
        fail(f"{asked} was answered with a web page (status 200)", advice.of_page(case))
        if answer.status == 200
        else advice.of_answer(case, answer, asked)
    )
    if advice.is_wrong_path(answer):
        better = await elsewhere.find_api(case)
        if better:
            return fail(finding.says, f"there is an API at {better}: write that in `url`")
        if answer.status in (404, 405, 501) and not advice.is_page(answer) and _named(case):
            return warn(f"{finding.says}; it may have no list", "keep naming its models in `models`")
    if case.settings.forward_authorization and answer.status in (401, 403):
        return Finding("skipped", "it wants a client's own credential, which is not here", ends=True)
    # A credential that is refused here is refused everywhere; other refusals may concern the list alone.
    return structs.replace(finding, ends=answer.status in (401, 404, 405) or not _named(case))


def _named(case: Case) -> list[str]:
    """The models that the settings name outright, those that somebody wrote before the provider's own default."""
    settings = case.settings
    named = [name for name in settings.models or () if not is_glob(name)]
    if settings.deployment_name and settings.api_version:
        named.append(settings.deployment_name)
    if settings.default_model and settings.default_model != case.row.default_model:
        named.insert(0, settings.default_model)
    elif settings.default_model:
        named.append(settings.default_model)
    return named


def _of_list(case: Case) -> Finding:
    listed = case.models or []
    settings = case.settings
    if not listed:
        how = {"ollama": "pull one: `ollama pull llama3.2`", "lmstudio": "download one in LM Studio"}
        fix = how.get(case.row.name, "name them in `models`, or load one in the server")
        return warn("the list is empty", fix)
    names = names_of(settings.provider, listed)
    some = ", ".join(case.name(model.id) for model in listed[:3])
    says = f"{len(listed)}: {some}{' ...' if len(listed) > 3 else ''}" if len(listed) > 3 else some
    missing = [name for name in _named(case) if names.holds(name) is False]
    if missing:
        return warn(
            f"{says}; {case.name(missing[0])} of the settings is not among them",
            _about_missing(case, missing[0]),
        )
    globs = [name for name in settings.models or () if is_glob(name)]
    idle = [glob for glob in globs if not any(fnmatchcase(name, glob) for name in names.names)]
    if idle:
        return warn(
            f"{says}; nothing fits `{idle[0]}` of `models`", "correct the pattern: names are case-sensitive"
        )
    return ok(says)


def _about_missing(case: Case, model: str) -> str:
    if model == case.row.default_model == case.settings.default_model:
        return f"set `default_model` to one that it has: {case.name(_chatty(case) or '')}"
    return advice.about_model(case, model)


def _chatty(case: Case) -> str:
    """The first listed model that seems to chat and that the settings do not exclude."""
    globs = case.settings.models
    allowed = [
        model.id
        for model in case.models or ()
        if "*" not in model.id and (globs is None or any(fnmatchcase(model.id, glob) for glob in globs))
    ]
    return next((name for name in allowed if not _NO_CHAT.search(name)), allowed[0] if allowed else "")


def choose_model(case: Case) -> str:
    """The model to ask: one that the settings name, unless it is only the provider's default and not there."""
    named = _named(case)
    names = names_of(case.settings.provider, case.models) if case.models else None
    if names is not None:
        for name in named:
            if names.holds(name) is not False:
                return name
    wanted = [name for name in named if name != case.row.default_model]
    if wanted:
        return wanted[0]
    return _chatty(case) or (named[0] if named else "")
