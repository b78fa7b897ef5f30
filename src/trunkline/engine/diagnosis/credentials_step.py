"""Whether there is a credential to send: the key of the settings, or a token that an identity provider gives.

Owns this one step. Does not own the look at a key's form, which needs no connection (written.py), nor the words for a
credential that the upstream refuses (advice.py).
"""

from trunkline.config.addresses import same_server
from trunkline.credentials.oauth2 import host_of
from trunkline.engine.diagnosis.case import CHAT, Case
from trunkline.engine.diagnosis.finding import Finding, fail, from_message, ok, warn
from trunkline.errors import Fault


async def credentials(case: Case) -> Finding:
    """There is a credential to send where one is needed; of OAuth2, a token."""
    settings = case.settings
    if case.upstream.oauth is not None:
        line = await case.upstream.authorization()
        host = host_of(settings.token_url or "")
        if isinstance(line, Fault):
            return from_message(case.quote(line.message, 400))
        case.around.secrets.add(line.decode("latin-1").rpartition(" ")[2].strip())
        return ok(f"a token from {host}")
    if settings.forward_authorization:
        return ok("none of our own: every client sends its own")
    if settings.api_key:
        style = case.row.auth_at(CHAT, settings.auth)
        where = {"bearer": "as bearer token", "none": "never (`auth: none`)"}.get(style, f"in `{style}`")
        return ok(f"the key is sent {where}")
    if case.has_own_credential:
        return ok("one in `headers`")
    return _without_key(case)


def _without_key(case: Case) -> Finding:
    row, variables = case.row, case.row.key_variables
    own = row.owns(case.base.host) or (
        row.base_url is not None and same_server(case.settings.url, row.base_url)
    )
    if variables and own:
        return fail(f"there is no key, and {row.title} wants one", f"set {variables[0]}, or `api_key`")
    there = next((name for name in variables if case.around.environ.get(name, "").strip()), None)
    if there is not None:
        return warn(
            f"none; `{there}` is set, but goes to {row.title}'s own hosts only",
            f"set `api_key: ${{{there}}}` if this server is meant to get it",
        )
    return ok("none")
