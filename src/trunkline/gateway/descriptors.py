"""How many descriptors this process may have open, against how many connections it is to hold.

The soft limit of a shell or service is often 1024, kept low for programs that use `select`. We do not, so it is raised
to the hard one, as Go and Java do.
"""

import resource

PER_CONNECTION = 2  # the client's and, during a call, the upstream's


def raise_limit(connections: int) -> str:
    """Raise the limit of open descriptors as far as it goes; what to warn of, or ""."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * PER_CONNECTION
    for limit in (wanted,) if hard == resource.RLIM_INFINITY else (hard, min(wanted, hard)):
        if soft != resource.RLIM_INFINITY and soft < limit:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            except (OSError, ValueError):  # macOS refuses more than its kernel has, whatever the hard limit
                continue
            soft = limit
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ""
    return (
        f"server.max_connections is {connections}, which needs up to {wanted} open files, but this process may have "
        f"{soft}: raise the limit (ulimit -n, LimitNOFILE=) or lower server.max_connections to "
        f"{max(1, soft // PER_CONNECTION)}"
    )
