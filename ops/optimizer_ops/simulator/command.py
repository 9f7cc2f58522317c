"""The command line of the simulator: `python -m optimizer_ops.simulator`, and behind `optimizer simulate`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from optimizer_ops.simulator.server import run
from optimizer_ops.simulator.spec import (
    HeaderStyle,
    SimulatorSpec,
    SpecError,
    load_specs,
    parse_spec,
    patched,
)

_LIMITS = {
    "rps": "requests per second",
    "rpm": "requests per minute",
    "rph": "requests per hour",
    "rpd": "requests per day",
    "tpm": "tokens per minute",
    "tph": "tokens per hour",
    "tpd": "tokens per day",
    "itpm": "input tokens per minute",
    "otpm": "output tokens per minute",
    "concurrency": "requests at the same time",
}
_TOP = ("name", "headers", "api_key", "fail_rate", "seed", "answer_tokens", "max_context_tokens", "dribble_s")
_LATENCY = {"latency": "base_s", "latency_spread": "spread_s", "latency_kind": "kind", "per_token": "per_token_s"}
_FAULTS = {
    "hang": "never answer",
    "hang_after_headers": "send status and headers, then nothing",
    "hold": "wait until POST /_release, then answer",
    "reset": "reset the connection before any byte",
    "cut": "send half of the body, then reset",
    "malformed": "200 with JSON that ends too early",
    "empty": "200 with an empty body",
    "dribble": "the right answer, slowly",
    "stream_error": "an error in mid-stream; else a 500",
    "throttled": "429 with retry-after",
    "slow_down": "429: the rate of requests grew too fast",
    "billing": "429: no credit left",
    "quota_day": "429: the day's requests are used up",
    "context_too_long": "400",
    "content_filter": "400",
    "ok": "a plain answer, as is 200",
}
_EPILOG = "\n".join(
    (
        "Failures in LIST: an HTTP status, or one of",
        *(f"  {name:<20}{meaning}" for name, meaning in _FAULTS.items()),
        "\nWhile it runs: GET /_control, /_log and /_stats show the spec, the requests and their counts;",
        "POST /_control changes the spec, POST /_release lets go of what is held.",
    )
)
PROG = "python -m optimizer_ops.simulator"


def main(argv: Sequence[str] | None = None, prog: str = PROG) -> int:
    """Serve as the options say, until SIGTERM. Returns the exit code."""
    options = _parser(prog).parse_args(argv)
    try:
        specs = specs_of(options)
        run(specs, options.host, options.port, log=options.log, ready=_announce)
    except SpecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot serve on {options.host}:{options.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def specs_of(options: argparse.Namespace) -> list[SimulatorSpec]:
    """The specs of the file, or one of defaults, with the flags over it. Raises SpecError."""
    specs = load_specs(options.spec) if options.spec else [parse_spec({})]
    patch = _patch(vars(options))
    return [patched(spec, patch) for spec in specs] if patch else specs


def _patch(given: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {name: given[name] for name in _TOP if given[name] is not None}
    limits: dict[str, Any] = {name: given[name] for name in _LIMITS if given[name] is not None}
    if given["limit"]:
        limits["more"] = [_limit(text) for text in given["limit"]]
    if given["token_bucket"]:
        limits["algorithm"] = "token_bucket"
    latency = {field: given[flag] for flag, field in _LATENCY.items() if given[flag] is not None}
    if given["model"]:
        patch["models"] = given["model"]
    for name in ("fail", "fail_with"):
        if given[name] is not None:
            patch[name] = [int(part) if part.isdigit() else part for part in given[name].split(",") if part]
    if given["fail_repeat"]:
        patch["fail_repeat"] = True
    if given["header"]:
        patch["extra_headers"] = {key.strip(): value.strip() for key, _, value in _pairs(given["header"])}
    return patch | ({"limits": limits} if limits else {}) | ({"latency": latency} if latency else {})


def _pairs(lines: Sequence[str]) -> list[tuple[str, str, str]]:
    return [line.partition(":") for line in lines]


def _limit(text: str) -> dict[str, Any]:
    """`10/2.5` or `500/60:tokens`."""
    amount, _, of = text.partition(":")
    count, _, per_s = amount.partition("/")
    try:
        return {"count": int(count), "per_s": float(per_s), "of": of or "requests"}
    except ValueError:
        raise SpecError(f"--limit {text}: write COUNT/SECONDS, as 10/2.5, or 500/60:tokens") from None


def _announce(spec: SimulatorSpec, url: str) -> None:
    print(msgspec.json.encode({"name": spec.name, "url": url}).decode(), flush=True)


def _parser(prog: str = PROG) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [options]",
        description="A simulated model backend over HTTP. Prints one JSON line with its name and URL when it listens.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_place(parser)
    _add_answers(parser)
    _add_limits(parser)
    _add_trouble(parser)
    return parser


def _add_place(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where").add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="listen here (default 127.0.0.1)")
    add("--port", type=int, default=8100, metavar="N", help="0 takes a free one; several specs use consecutive ports")
    add("--spec", type=Path, metavar="FILE", help="JSON: one spec, or a list; flags are applied over each")
    add("--log", type=Path, metavar="FILE", help="append one JSON line when a request arrives and one when it ends")


def _add_answers(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what answers").add_argument
    add("--name", metavar="NAME", help="stands in the request log and in the answers (default simulated)")
    add("--headers", choices=get_args(HeaderStyle), help="whose rate-limit headers and error bodies to send")
    add("--header", action="append", metavar="'NAME: VALUE'", help="a further header of every answer; repeatable")
    add("--api-key", metavar="KEY", help="refuse other keys with 401")
    add("--model", action="append", metavar="NAME", help="one that exists; repeatable; without any, every model does")
    add("--answer-tokens", type=int, metavar="N", help="how long an answer wants to be (default 32)")
    add("--max-context-tokens", type=int, metavar="N", help="longer prompts are refused with 400")
    add("--latency", type=float, metavar="S", help="seconds before an answer; the median, if lognormal (default 0)")
    add("--latency-kind", choices=("fixed", "jitter", "lognormal"), help="how it varies (default fixed)")
    add("--latency-spread", type=float, metavar="S", help="for jitter: up to this much more")
    add("--per-token", type=float, metavar="S", help="seconds for every completion token")
    add("--seed", type=int, metavar="N", help="of all chance: the same seed gives the same run (default 0)")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("limits (beyond them: 429)").add_argument
    for name, meaning in _LIMITS.items():
        add(f"--{name}", type=int, metavar="N", help=meaning)
    add(
        "--limit",
        action="append",
        metavar="N/S[:DIM]",
        help="N in every S seconds; DIM requests, tokens, input, output",
    )
    add("--token-bucket", action="store_true", help="refilling buckets; without it, exact sliding windows")


def _add_trouble(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("trouble").add_argument
    add("--fail", metavar="LIST", help="what the first requests meet, as 503,503,hang,200")
    add("--fail-repeat", action="store_true", help="start the list again at its end")
    add("--fail-rate", type=float, metavar="SHARE", help="share of the other requests that fail, 0 to 1")
    add("--fail-with", metavar="LIST", help="what they meet, one of these by chance (default 503)")
    add("--dribble-s", type=float, metavar="S", help="pause between the pieces of a dribbled answer")
