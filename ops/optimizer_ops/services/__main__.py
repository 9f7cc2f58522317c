"""`python -m optimizer_ops.services up|status|stop|install [--json]`.

Progress goes to standard error, the result to standard output. Exit codes: 0 both services answer (or were stopped),
69 a service is missing.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from optimizer_ops.services.ensure import ensure_services, install_programs, stop_services
from optimizer_ops.services.kinds import KINDS
from optimizer_ops.services.record import Record, state_folder
from optimizer_ops.services.urls import ServicesUnavailable, ServiceUrls, shown
from optimizer_service.exit_codes import EXIT_UNAVAILABLE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="optimizer services", description="RabbitMQ and Redis for this machine.")
    parser.add_argument(
        "verb",
        choices=("up", "status", "stop", "install"),
        nargs="?",
        default="up",
        help="up: make both available (default); status: where they are; stop: end what up started; "
        "install: only see to the programs",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, passwords included")
    options = parser.parse_args(arguments)
    try:
        verbs = {"up": _up, "status": _status, "stop": _stop, "install": _install}
        return verbs[options.verb](options.json)
    except ServicesUnavailable as error:
        _report(str(error))
        return EXIT_UNAVAILABLE


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _up(as_json: bool) -> int:
    urls = ensure_services(_report)
    if as_json:
        print(json.dumps({"amqp_url": urls.amqp_url, "redis_url": urls.redis_url}))
        return 0
    wanted = ServiceUrls.from_environ()
    for kind in KINDS:
        url = kind.wanted(urls)
        # What runs where nobody will look for it by itself is said in the form that a shell takes.
        print(f"{kind.name:<9} {shown(url)}" if url == kind.wanted(wanted) else f"export {kind.variable}={shown(url)}")
    return 0


def _status(as_json: bool) -> int:
    wanted, started = ServiceUrls.from_environ(), Record(state_folder()).read()
    rows = []
    for kind in KINDS:
        url, way = kind.wanted(wanted), "already there"
        problem, entry = kind.problem(url), started.get(kind.key)
        if entry and (problem or entry.url == url):
            url, way, problem = entry.url, entry.way, kind.problem(entry.url)
        rows.append({"service": kind.key, "url": url, "way": None if problem else way, "problem": problem})
    if as_json:
        print(json.dumps(rows))
    else:
        for row in rows:
            print(f"{row['service']:<9} {shown(str(row['url']))}  {row['problem'] or 'answers, ' + str(row['way'])}")
    return EXIT_UNAVAILABLE if any(row["problem"] for row in rows) else 0


def _stop(as_json: bool) -> int:
    stop_services(_report)
    if as_json:
        print(json.dumps({"stopped": True}))
    return 0


def _install(as_json: bool) -> int:
    install_programs(_report)
    if as_json:
        print(json.dumps({"installed": True}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
