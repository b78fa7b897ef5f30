"""The benchmark of Trunkline and the proxies it is compared with; `python -m bench --help` explains it.

`settings.py` what a run does, `gateways.py` the proxies as rows, `process.py` pinned children and what /proc says
about them, `upstreams.py` and `loads.py` the two ends of the wire, `measures.py` the six measures, `rounds.py` their
order, `report.py` medians, ratios and bars. Nothing here is part of the installed package.
"""
