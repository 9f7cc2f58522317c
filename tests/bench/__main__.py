"""`make bench`: what the optimizer costs, each number beside a plain one from the same minute.

    python -m tests.bench [--quick] [--rounds N] [--json FILE]
    python -m tests.bench --fleet [SCALE]       the same fleet of agents by different ways to a backend

Closed loop, everything on this machine; rounds are interleaved, so that a busy minute meets both sides of a ratio.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import uvloop
from rich.console import Console
from tests.bench import parts
from tests.bench.deployment import Deployment, deployment
from tests.bench.echo import EchoClient
from tests.bench.fleet import compare
from tests.bench.parts import Length
from tests.bench.report import Results

from optimizer_client import AsyncOptimizer


async def measure(results: Results, where: Deployment, length: Length) -> None:
    """All parts, one after the other, on one client connection."""
    stack = where.stack
    async with (
        AsyncOptimizer("bench", url=stack.amqp_url, prefix=stack.prefix) as client,
        EchoClient(stack.amqp_url, where.echo_queue) as echo,
    ):
        await parts.cached(results, where, client, echo, length)
        await parts.uncached(results, where, client, length)
        await parts.collapsed(results, client, length)


def main() -> int:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three short rounds, in under 45 seconds")
    parser.add_argument("--rounds", type=int, help="how many rounds [default: 5; quick: 3]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    parser.add_argument(
        "--fleet",
        type=float,
        nargs="?",
        const=1.0,
        metavar="SCALE",
        help="compare ways to a backend [1: 15 min]",
    )
    wanted = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    if wanted.fleet:
        outcomes = compare(wanted.fleet, console)
        if wanted.json:
            wanted.json.write_text(json.dumps({name: asdict(found) for name, found in outcomes.items()}, indent=1))
        return 0
    length = Length(wanted.rounds or (3 if wanted.quick else 5), 0.4 if wanted.quick else 1.5)
    results, began = Results(), time.perf_counter()
    with deployment() as where:
        uvloop.run(measure(results, where, length))
        parts.processes(results, where)
    results.show(console)
    took_s = time.perf_counter() - began
    console.print(f"{length.rounds} rounds of {length.seconds:g} s a stretch; {took_s:.0f} s in all.")
    if wanted.json:
        wanted.json.write_text(json.dumps({"rounds": length.rounds, "results": results.as_json()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
