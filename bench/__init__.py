"""The benchmark of Trunkline and the proxies it is compared with; `python -m bench --help` explains it.

`settings.py` what a run does, `gateways.py` the proxies as rows, `process.py` pinned children and what /proc says
about them, `disturbance.py` what others did meanwhile, `upstreams.py` and `loads.py` the two ends of the wire,
`measures.py` the measures, `rounds.py` their order, `figures.py` medians and ratios, `bars.py` what they may be at
most, `report.py` the page. Nothing here is part of the installed package.
"""
