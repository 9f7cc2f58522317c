"""`make bench`: what the optimizer costs, each number beside a plain one from the same minute.

    python -m tests.bench [--parts a,c,e] [--quick] [--long] [--rounds N] [--json FILE]
    python -m tests.bench --fleet [SCALE]       the same fleet of agents by different ways to a backend

    a  cached answers        d  identical requests   g  sizes of prompts        j  others, where installed
    b  uncached calls        e  CPU and memory       h  start-up and import        (OPTIMIZER_BENCH_PYTHON)
    c  added latency         f  more processes       i  with and without recorder and budgets

Everything on this machine; rounds are interleaved, so that a busy minute meets both sides of a ratio.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from rich.console import Console
from tests.bench import targets
from tests.bench.bench import Bench, Length
from tests.bench.deployment import Servers, backend, deployment
from tests.bench.fleet import compare
from tests.bench.parts import (
    added,
    cached,
    collapsed,
    cost,
    everything,
    fleet_size,
    rivals,
    sizes,
    start,
    uncached,
)
from tests.bench.proxies import PYTHON
from tests.support.services import amqp_service, redis_service

PARTS = {
    "a": cached,
    "b": uncached,
    "c": added,
    "d": collapsed,
    "e": cost,
    "f": fleet_size,
    "h": start,
    "i": everything,
    "g": sizes,  # After those that look at memory: what 100 KB times 100 took is not all given back.
    "j": rivals,
}
"""In the order in which they are run."""
REPORT = Path(".run/bench.json")
QUICK = Length(rounds=3, seconds=0.4, quick=True)


async def measure(bench: Bench, parts: list[str]) -> None:
    """These parts, one after the other; at the end the rows of the history are held against all requests."""
    async with bench:
        for part in parts:
            await PARTS[part].measure(bench)
        bench.say("waiting for the recorder")
        await bench.where.caught_up()
        everything.count_rows(bench)


def main() -> int:
    """Measure, print tables, write JSON."""
    wanted = _options()
    console = Console(width=None if sys.stdout.isatty() else 120)
    # After either, what was started is ended and removed. A shell has a program in its background ignore the first.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if wanted.fleet:
        outcomes = compare(wanted.fleet, console)
        if wanted.json:
            _write(wanted.json, {name: asdict(found) for name, found in outcomes.items()})
        return 0
    usual = QUICK if wanted.quick else Length()
    length = Length(wanted.rounds or usual.rounds, usual.seconds, quick=wanted.quick, long=wanted.long)
    with (
        TemporaryDirectory() as folder,
        amqp_service() as amqp_url,
        redis_service() as redis_url,
        backend(Path(folder)) as backend_url,
    ):
        servers = Servers(amqp_url, redis_url, backend_url)
        with deployment(servers) as where:
            bench = Bench(Path(folder), servers, where, length)
            uvloop.run(measure(bench, wanted.parts))
    _report(bench, console, wanted.json or REPORT)
    return 0


def _options() -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=form)
    parser.add_argument("--parts", type=_parts, default=list(PARTS), metavar="a,c,e", help="only these [all]")
    parser.add_argument("--quick", action="store_true", help="three short rounds: shows that it works, and little more")
    parser.add_argument("--long", action="store_true", help="the cost of 100,000 requests too")
    parser.add_argument("--rounds", type=_rounds, help=f"how many rounds [{Length().rounds}; quick: {QUICK.rounds}]")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="every round [.run/bench.json]; tables beside it, *.md"
    )
    parser.add_argument(
        "--fleet", type=float, nargs="?", const=1.0, metavar="SCALE", help="compare ways to a backend [1: 15 min]"
    )
    wanted = parser.parse_args()
    if (python := os.environ.get(PYTHON)) and shutil.which(python) is None:
        parser.error(f"{PYTHON}: there is no program {python}")
    file = wanted.json or REPORT
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        parser.error(f"{file} cannot be written: {error.strerror}")
    return wanted


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is no number of rounds: at least 1")
    return int(text)


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if unknown := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"there is no part {', '.join(unknown)}; parts are {', '.join(sorted(PARTS))}")
    return [part for part in PARTS if part in parts]


def _report(bench: Bench, console: Console, file: Path) -> None:
    results, length = bench.results, bench.length
    held = targets.targets(results)
    results.show(console)
    targets.show(held, console)
    took_s = time.perf_counter() - bench.began
    page = file.with_suffix(".md")
    console.print(f"{length.rounds} rounds of {length.seconds:g} s a stretch; {took_s:.0f} s in all: {file}, {page}")
    about = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    found = {"results": results.as_json(), "targets": targets.as_json(held), "remarks": results.remarks}
    _write(file, about | asdict(length) | found)
    page.write_text(f"{targets.as_markdown(held)}\n{results.as_markdown()}")


def _write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped; what was started has ended and is removed.")
