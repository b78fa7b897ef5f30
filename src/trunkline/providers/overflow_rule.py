"""The general rule: a refusal for length whose wording is in no table.

Owns the judgement of unknown wordings and the roles of the numbers in them. Does not own known wordings
(`overflow_patterns.py`), nor what is looked at and what is left out beforehand (`overflow.py`).

How it works: a text counts as an overflow if its words say so, or if it speaks of tokens and one of its numbers is
over another that is called a limit. Each number gets its role from the words right behind it ("512 output tokens"),
else from the clause in front of it ("maximum context length is 8192"). What the words leave open the sizes decide: of
two numbers the smaller is the limit. Numbers that contradict the words (a prompt below the limit) are not given out.
"""

import re

from trunkline.errors import Overflow
from trunkline.providers.overflow_patterns import NUMBER, number

_FLAGS = re.IGNORECASE | re.ASCII

_WINDOW = re.compile(
    r"context[ _-]?(?:window|length|size|limit|budget)|max_model_len|max_seq_len|\bn_ctx\b|sequence length"
    r"|max(?:imum)?[ _](?:prompt|input|sequence|seq|model|context|token)[ _]?(?:tokens?|len(?:gth)?|size|count)"
    r"|model\W{0,3}s? (?:max\w* |input |token |context )?(?:length|limit|window)",
    _FLAGS,
)
_OVER = re.compile(
    r"exceed|too (?:long|large|big|many)|(?:long|larg|great|bigg|high)er than|more than|overflow|surpass|beyond"
    r"|over (?:the|its|your)\b|(?:not|n't|cannot) fit|cannot hold|not enough|you requested|out of|\d\)? ?> ?\w",
    _FLAGS,
)
_PROMPT = re.compile(
    r"\b(?:prompts?|inputs?|messages?|conversation|history|context|request|query|document|sequence|text)(?![a-z])"
    r"|_(?:prompt|input)_|n_prompt|\brequested \d[\d,_.]{0,14} tokens",
    _FLAGS,
)
_GIVEN = re.compile(r"prompt|\binput|message|conversation|history|\bquery|document", _FLAGS)
# Of validators: it says nothing of the prompt.
_FRAME = re.compile(r"input validation error|input should be|invalid input|invalid request", _FLAGS)
_TOKENS = re.compile(r"token|context[ _-]?(?:window|length|size)|\bn_ctx\b|\bwindow ?=", _FLAGS)
_MAX_TOKENS = r"max(?:_?(?:completion_?|new_?|output_?)?| (?:completion|new|output) )tokens"
_ANSWER = re.compile(
    rf"{_MAX_TOKENS}|max(?:imum)? (?:output |new |completion )?tokens you requested"
    r"|(?:completion|output|generated|new) tokens",
    _FLAGS,
)
_BOUND = re.compile(
    r"too (?:large|high|big|many)|exceed|at most|less than|(?:great|larg|high)er than|up to|maximum|<=|\blimit|range"
    r"|\bbetween\b|supports",
    _FLAGS,
)

# Wordings that mean nothing else, whatever the status.
_PLAIN = re.compile(
    r"(?:prompt|input context) (?:is )?too (?:long|large|big)"
    r"|input (?:is )?too (?:long|large) for (?:the |this )?(?:requested |selected )?model"
    r"|maximum context length|(?:input|prompt) token count.{0,20} exceeds|exceed context limit|context overflow"
    r"|(?:context|prompt)(?:[ _](?:window|length|size|limit))? ?(?:exceed|overflow)"
    r"|tokens to keep from the initial prompt"
    r"|上下文(?:长度|窗口)?.{0,12}(?:超|过长)|超(?:出|过).{0,12}上下文|prompt 超长",
    re.IGNORECASE,
)
# Wordings that mean it where the status says that the request was at fault.
_VAGUE = re.compile(
    r"too many (?:input |prompt |total )?tokens|token limit|(?:input|request|content|text|messages?|conversation"
    r"|tokens?)"
    r"(?: (?:token|context))?(?: (?:length|size|limit|in the request))?(?: (?:is|are|was|has))?(?: been)? "
    r"(?:too (?:long|large)|exceeded)|reduce the length of (?:the|your) (?:messages|prompt|input)"
    r"|max(?:imum)? size\W{0,3}\d[\d,_.]{0,14} tokens"
    r"|reached its conversation limit|request exceeds the maximum size|shorten (?:the|your) (?:prompt|input|messages)"
    r"|tokens exceed|输入(?:长度|内容)?.{0,8}(?:超|过长)|token.{0,6}超|内容过长|超过最大长度",
    re.IGNORECASE,
)

# A count, not a part of a name, and not of something else than tokens.
_COUNT = re.compile(
    rf"(?<![A-Za-z0-9_./#$-]){NUMBER}(?=-?tokens?\b|(?![A-Za-z0-9_/]))"
    r"(?! ?(?:%|(?:kilo|mega|giga)?bytes?\b|[kmg]i?b\b|ms\b|s\b|sec|min(?:ute)?s?\b|hours?|days?|images?|messages?"
    r"|requests?|tools?|char|words?\b|files?|pages?|times\b|items?|elements?|status))",
    _FLAGS,
)
_STATUS = re.compile(
    r"^\W{0,3}[45]\d\d\b|\b(?:error|status|http|code|errno|line|column|char|position)\W{0,3}(?:code\W{0,3})?\d{1,6}\b",
    _FLAGS,
)
_SMALLEST = 16  # no window is smaller; what is, counts choices, attempts or versions
_MOST_COUNTS = 12

_BEHIND = re.compile(
    r"[ \-`'\")]{0,3}(?:tokens?\b)?[ \-`'\"]{0,2}(?:(?:of|in|from|for|as|were|was|are|is) )?(?:the |your |this |its )?"
    r"(?:(?P<excess>(?:over|above|beyond) (?:the |its )?(?:limit|max|context|window|budget)|too many|in excess)"
    r"|(?P<output>output|complet|generat|respon|answer|new\b|max_)"
    r"|(?P<limit>max|limit|context|window|allow|support|permit|availab|capacity|most\b)"
    r"|(?P<total>total|overall|altogether|requested|combined)"
    r"|(?P<input>prompt|inputs?\b|messages?|text|tool|conversation|history|query|provided|sent\b|given|long\b))",
    _FLAGS,
)
_CLAUSE = re.compile(r"[.;!?,:] +(?=\w)|\b(?:but|however|while|whereas|and|which|yet|though|with)\b", _FLAGS)
_LIMIT = re.compile(
    r"\bmax|_max|limit|at most|up to|\bonly\b|just\b|support|allow|window|context[ _](?:length|size)|capacity"
    r"|(?:less|fewer|more|er) than|under\b|below\b|[<>≤]=?|exceed|beyond|n_ctx|\bover\b|budget|threshold|ceiling"
    r"|cannot hold|accepts?\b",
    _FLAGS,
)
_HAVING = re.compile(
    r"\b(?:has|have|had|contains?|got|received|requested|used|uses|sent|given|passed|provided|resulted|needs?|requires?"
    r"|counted|found)\b",
    _FLAGS,
)
_ASKED = re.compile(rf"{_MAX_TOKENS}\W{{0,4}}(?:value )?(?:of|is|is too (?:large|high))?\W{{0,4}}$", _FLAGS)
# "198157 + 21333 > 200000", "9000/8192 tokens", "9000/8192": no words are needed.
_COMPARED = re.compile(
    rf"(?<![A-Za-z0-9_.-])(?P<input>{NUMBER})(?: tokens)?(?: \+ (?P<output>{NUMBER})(?: tokens)?)?"
    rf"(?: ?> ?(?P<limit>{NUMBER})| ?/ ?(?P<of>{NUMBER})(?: tokens|(?<=\d{{3}})(?![\w/.-]{{0,20}}[\w/])))"
)
# vLLM's "(16744 > 32768 - 20956)" says once more what stands before it.
_ARITHMETIC = re.compile(r"\([^()]{0,60}\d ?[-+*/] ?\d[^()]{0,40}\)")
_BY = re.compile(r"\bby(?: about| approximately| around| at least)?\W{0,2}$", _FLAGS)
_TOTAL = re.compile(r"\b(?:total|sum|together)\b[^.;]*$", _FLAGS)  # "the sum of prompt and completion (9000)"
_ROLES_AHEAD = (
    ("output", re.compile(r"output|complet|generat|respons|answer", _FLAGS)),
    ("total", re.compile(r"total|\bsum\b|requested|combined", _FLAGS)),
    (
        "input",
        re.compile(
            r"prompt|input|message|conversation|history|request|text|quer|sequence|contain|\bha[sd]\b|have|got|given"
            r"|receiv|sent|passed|provided|\bused?\b|current|result|count|length|size|found|need|requir|document",
            _FLAGS,
        ),
    ),
)


def judge(text: str, *, vague: bool) -> Overflow | None:
    """What a message says of a request's length; None if it is about something else.

    `vague`: the status allows wordings that elsewhere could mean a load or a quota.
    """
    bare = _ARITHMETIC.sub(" ", _FRAME.sub(" ", _STATUS.sub(" ", text)))
    if (compared := _COMPARED.search(bare)) is not None:
        named = compared.groupdict().items()
        counts = [("limit" if role == "of" else role, number(value)) for role, value in named if value]
        at_least = False
    else:
        counts, at_least = _counts(bare)
    if _ANSWER.search(bare) and _BOUND.search(bare) and not _GIVEN.search(_ANSWER.sub(" ", bare)):
        return _cap(counts)
    plain = bool(_PLAIN.search(bare) or (_WINDOW.search(bare) and _OVER.search(bare)))
    loose = vague and bool(_VAGUE.search(bare))
    found = _overflow(counts, at_least=at_least)
    if found is not None and (plain or loose or (_TOKENS.search(bare) and _PROMPT.search(bare))):
        return found
    excess = _first(counts, "excess")
    if plain or loose or (excess is not None and _TOKENS.search(bare) and _PROMPT.search(bare)):
        limit, total = _first(counts, "limit"), _first(counts, "total") or _first(counts, "input")
        if limit is None or total is None:  # two that contradict the words are both in doubt
            return Overflow(limit, total, None, total, excess, at_least)
        return Overflow()
    return None


def _counts(text: str) -> tuple[list[tuple[str, int]], bool]:
    """The numbers with their roles ("" where the words do not tell), and whether one is a lower bound."""
    matches = [match for match in _COUNT.finditer(text) if number(match[0]) >= _SMALLEST][:_MOST_COUNTS]
    at_least = False
    counts: list[tuple[str, int]] = []
    for index, match in enumerate(matches):
        start = matches[index - 1].end() if index else 0
        end = matches[index + 1].start() if index + 1 < len(matches) else len(text)
        ahead = text[max(start, match.start() - 70) : match.start()].rstrip(" ([\"'`=")
        role = _role(ahead, text[match.end() : min(end, match.end() + 45)])
        if ahead.endswith("at least") and role != "limit":
            at_least = True
        counts.append((role, number(match[0])))
    return counts, at_least


def _role(ahead: str, behind: str) -> str:
    clauses = [clause for clause in _CLAUSE.split(ahead) if clause.strip()]
    clause = clauses[-1] if clauses else ""
    if _BY.search(clause) and _OVER.search(ahead):
        return "excess"
    if _ASKED.search(clause):
        return "output"
    label = _BEHIND.match(behind)
    if label is not None and label.lastgroup is not None:
        return label.lastgroup
    limits = list(_LIMIT.finditer(clause))
    if limits and not _HAVING.search(clause, limits[-1].end()):
        return "limit"
    role = next((role for role, cue in _ROLES_AHEAD if cue.search(clause)), "")
    return "total" if role == "output" and _TOTAL.search(ahead) else role


def _first(counts: list[tuple[str, int]], role: str) -> int | None:
    return next((value for found, value in counts if found == role), None)


def _cap(counts: list[tuple[str, int]]) -> Overflow:
    """The answer that was asked for is over what the model gives."""
    values = sorted({value for _, value in counts})
    limit = _first(counts, "limit")
    output = _first(counts, "output")
    if len(values) == 2:
        limit, output = values
    elif len(values) == 1:
        limit, output = values[0], None
    return Overflow(limit, output=output, too_long="cap")


def _overflow(counts: list[tuple[str, int]], *, at_least: bool) -> Overflow | None:
    """The numbers, if they are those of an overflow."""
    limit = _first(counts, "limit")
    total, output, excess = _first(counts, "total"), _first(counts, "output"), _first(counts, "excess")
    inputs = [value for role, value in counts if role == "input"]
    given = max(inputs, default=None)
    if total is not None and len(inputs) > 1 and sum(inputs) <= total:
        given = sum(inputs)
    values = sorted({value for role, value in counts if role not in ("output", "excess")})
    if (limit is None or (total is None and given is None)) and len(values) == 2:
        limit, given, total = values[0], values[1], None
    if limit is None or (total is None and given is None):
        return None
    if total is None and given is not None and output is not None:
        total = given + output
    elif given is None and total is not None:
        given = total if output is None else total - output
    if total is not None and output is not None and total <= limit < total + output:
        given, total = (
            total,
            total + output,
        )  # "sum of prompt (1) and max_tokens (2)": the word did not mean a number
    if output is not None and given is not None and given - output in inputs:
        given, total = given - output, given  # "prompt 1 + max_tokens 2 needs 3"
    actual = total if total is not None else given
    if actual is None or given is None or given < 0 or actual <= limit:
        return None
    too_long = "output" if output is not None and given < limit and not at_least else "prompt"
    return Overflow(limit, given, output, total, excess or actual - limit, at_least, too_long)
