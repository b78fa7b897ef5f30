"""Which host a request may name, where no key guards a port of this machine.

Against DNS rebinding: a web page's own name can be made to resolve to 127.0.0.1, and the browser then takes our
answers for the page's own. What such a browser sends is the page's name in `Host`; only that gives it away.
"""

from trunkline.config.addresses import is_loopback
from trunkline.wire.head import RequestHead


def names_this_machine(head: RequestHead, *configured: str) -> bool:
    """Whether the request names localhost, a loopback address or a `configured` host. Browsers always send one."""
    named = head.fields.get(b"host")
    if named is None:
        return True
    host = named.decode("latin-1").lower()
    colon = host.rfind(":")
    if colon > host.rfind("]"):
        host = host[:colon]
    host = host.removesuffix(".")
    return is_loopback(host) or host.strip("[]") in [name.lower().strip("[]") for name in configured]
