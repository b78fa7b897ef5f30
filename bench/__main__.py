"""The command line: `python -m bench run | report | peers`."""

import argparse
import fcntl
import signal
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import msgspec

from bench import gateways, peers, report
from bench.process import BenchError, raise_file_limit
from bench.rounds import Rounds
from bench.settings import MEASURES, Results, Settings, describe_machine, join, split_cores

_ROOT = Path(__file__).parent.parent
_LATEST = _ROOT / "bench" / "results" / "latest.json"
_DOCS = _ROOT / "docs" / "benchmarks.md"

_ABOUT = """\
Measures Trunkline and, side by side in one run, whichever of these are installed: nginx, haproxy, vllm-router, litellm.
The gateway runs alone on one core, load generator and upstream on the others. CPU time comes from /proc, over the whole
process tree. Numbers depend on the machine: compare ratios of one run, never numbers of two machines.

  run      measure; JSON to bench/results/latest.json, tables to the terminal
  report   print the tables of the last run again (--write-docs: into docs/benchmarks.md)
  peers    install nginx, haproxy, wrk (apt-get), vllm-router and litellm[proxy] (own virtual environments)

measures: requests  CPU per request, requests/s      streams  CPU per streamed chunk
          heads     the same, no head comes twice    events   the same, events differ in more than text
          latency   added p50/p99 at a fixed rate    bodies   the same with request bodies of 100 KB
          churn     a connection per request         routing  2 backends and 1,000, a model each
          memory    idle and with open streams       targets  one model, 2 targets and 1,000
          start     until it accepts and answers   thoughts streams, half of them thoughts in tags, that are split off
"""


def _names(allowed: tuple[str, ...], text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if wrong := [name for name in names if name not in allowed]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: choose from {', '.join(allowed)}")
    return names


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    known = tuple(gateway.name for gateway in gateways.GATEWAYS)
    parser = argparse.ArgumentParser(
        "python -m bench", description=_ABOUT, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="run | report | peers")
    run = verbs.add_parser("run", help="measure", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    run.add_argument(
        "--peers",
        type=lambda text: _names(known, text),
        default=[],
        metavar="A,B",
        help="only these gateways (default: all installed)",
    )
    run.add_argument(
        "--only",
        type=lambda text: _names(MEASURES, text),
        default=[],
        metavar="A,B",
        help="only these measures (default: all)",
    )
    run.add_argument("--rounds", type=int, help=f"medians are over these (default: {defaults.rounds})")
    run.add_argument("--seconds", type=int, default=defaults.seconds, help="length of one measurement")
    run.add_argument("--connections", type=int, default=defaults.connections, help="of requests and churn")
    run.add_argument("--streams", type=int, default=defaults.streams, help="concurrent streams")
    run.add_argument(
        "--interval", type=int, default=defaults.interval_ms, help="milliseconds between a stream's events"
    )
    run.add_argument("--rate", type=float, default=defaults.rate, help="requests/s of the latency measure")
    run.add_argument(
        "--open-streams", type=int, default=defaults.open_streams, help="streams of the memory measure"
    )
    run.add_argument(
        "--patience",
        type=float,
        default=defaults.patience,
        help="seconds the run may take longer, to repeat what others on the machine disturbed",
    )
    run.add_argument(
        "--quick",
        action="store_true",
        help="unless named otherwise: nginx and trunkline; requests, heads, streams, events, thoughts; 2 rounds",
    )
    run.add_argument(
        "--keep", action="store_true", help="keep what the last run has of measures that are not measured now"
    )
    run.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    again = verbs.add_parser("report", help="print the last run again")
    again.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    verbs.add_parser("peers", help="install what Trunkline is compared with")
    return parser


@contextmanager
def _alone() -> Generator[None]:
    """Refuse to run beside another run of this directory: the two would measure each other."""
    _LATEST.parent.mkdir(exist_ok=True)
    with (_LATEST.parent / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError("another run is under way, and two would measure each other") from None
        yield


def _run(options: argparse.Namespace) -> Results:
    if options.quick:
        options.peers = options.peers or ["nginx", "trunkline"]
        options.only = options.only or ["requests", "heads", "streams", "events", "thoughts"]
        options.rounds = options.rounds or 2
    rows = gateways.present(options.peers)
    if not rows:
        raise BenchError("no gateway is installed: run `make bench-peers`")
    missing = [gateway.name for gateway in gateways.GATEWAYS if gateway.find() is None]
    if missing:
        print(f"not here and left out: {', '.join(missing)} (`make bench-peers` installs the peers)")
    gateway_core, load_cores = split_cores()
    # A gateway needs two files per stream.
    open_streams = min(options.open_streams, raise_file_limit() // 2 - 500)
    if gateway_core in load_cores:
        print("only one core: gateway, load and upstream share it; the CPU times hold, the rest does not")
    settings = Settings(
        rounds=options.rounds or Settings().rounds,
        seconds=options.seconds,
        connections=options.connections,
        streams=options.streams,
        interval_ms=options.interval,
        rate=options.rate,
        open_streams=open_streams,
        patience=options.patience,
        gateway_core=gateway_core,
        load_cores=load_cores,
    )
    versions = {gateway.name: gateway.version(binary) for gateway, binary in rows}
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    results = Results(date=date, machine=describe_machine(), settings=settings, versions=versions)
    print(
        f"{results.machine}\ngateway on core {gateway_core}, load and upstream on {load_cores}\n", flush=True
    )
    with _alone(), tempfile.TemporaryDirectory(prefix="trunkline-bench-") as directory:
        measured = options.only or list(MEASURES)
        Rounds(results, rows, Path(directory)).run(measured)
    if options.keep and _LATEST.exists():
        results = join(msgspec.json.decode(_LATEST.read_bytes(), type=Results), results, measured)
    _LATEST.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    return results


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run one verb; the exit code is 1 if it could not, 130 if it was interrupted."""
    options = _parser().parse_args()
    # SIGTERM unwinds like Ctrl-C does, also where a shell started us with SIGINT ignored: every child ends, every
    # temporary directory goes.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        if options.verb == "peers":
            return peers.install()
        if options.verb == "run":
            results = _run(options)
        elif _LATEST.exists():
            results = msgspec.json.decode(_LATEST.read_bytes(), type=Results)
        else:
            raise BenchError("no results yet: run `make bench`")
    except BenchError as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    text = report.render(results)
    print(f"\n{text}")
    if options.write_docs:
        _DOCS.parent.mkdir(exist_ok=True)
        _DOCS.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
