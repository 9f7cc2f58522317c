"""Make RabbitMQ and Redis available.

what answers at the URLs, or was started here before
  └► else containers, where a Docker engine answers
       └► else private instances of the installed programs
            └► else the same, installed with apt-get first (root on Debian)
                 └► else one sentence that says what to do
"""

from collections.abc import Callable
from pathlib import Path

from optimizer_ops.services import containers, debian
from optimizer_ops.services.kinds import KINDS, Kind, port_for
from optimizer_ops.services.processes import wait_until
from optimizer_ops.services.record import Record, Started, state_folder
from optimizer_ops.services.urls import ServicesUnavailable, ServiceUrls, parse, shown, with_port

_CONTAINER_S = 20.0

Report = Callable[[str], None]


def ensure_services(report: Report, *, wanted: ServiceUrls | None = None, folder: Path | None = None) -> ServiceUrls:
    """Make both services available and return their URLs.

    `report` gets a line for each step, `wanted` defaults to the environment, `folder` is where started ones live.
    Calling it again finds what is there. Raises `ServicesUnavailable` with one sentence that says what to do.
    """
    wanted = wanted or ServiceUrls.from_environ()
    record = Record(folder or state_folder())
    with record.locked():
        urls = {kind.key: _ensure(kind, kind.wanted(wanted), record, report) for kind in KINDS}
    return ServiceUrls(amqp_url=urls["rabbitmq"], redis_url=urls["redis"])


def _ensure(kind: Kind, url: str, record: Record, report: Report) -> str:
    problem = kind.problem(url)
    if problem is None:
        report(f"{kind.name} answers at {shown(url)}")
        return url
    earlier = record.read().get(kind.key)
    if earlier and kind.problem(earlier.url) is None:
        report(f"{kind.name}, started here before ({earlier.way}), answers at {shown(earlier.url)}")
        return earlier.url
    _refuse_elsewhere(kind, url, problem)
    report(f"{kind.name} at {shown(url)}: {problem}")
    if earlier:
        stop_started(kind, earlier)
        record.remove(kind.key)
    started = _start(kind, url, record.folder / kind.key, report)
    record.add(kind.key, started)
    report(f"{kind.name} was started ({started.way}) at {shown(started.url)}")
    return started.url


def _refuse_elsewhere(kind: Kind, url: str, problem: str) -> None:
    address = parse(url)
    if not address.on_this_machine or not address.plain:
        raise ServicesUnavailable(
            f"{kind.name} at {shown(url)} cannot be used ({problem}) and cannot be started from here: "
            f"put it right there, or unset {kind.variable} to use one on this machine."
        )


def _start(kind: Kind, url: str, folder: Path, report: Report) -> Started:
    port = port_for(url)
    if containers.available():
        report(f"Starting {kind.name} in a container ...")
        try:
            return _start_container(kind, url, port)
        except ServicesUnavailable as error:
            report(str(error))
    _install(kind, report)
    if not kind.installed():
        raise ServicesUnavailable(
            f"{kind.name} is not running and could not be started: start it, install it "
            f"(on Debian: apt-get install {debian.PACKAGES[kind.key]}), start Docker, or set {kind.variable}."
        )
    report(f"Starting {kind.name} on port {port} ...")
    return kind.start(url, folder, port)


def _install(kind: Kind, report: Report) -> None:
    if not kind.installed() and debian.available():
        report(f"Installing {debian.PACKAGES[kind.key]} with apt-get ...")
        debian.install([kind.key])


def install_programs(report: Report) -> None:
    """Install what is missing of the server programs, where we may; raises `ServicesUnavailable` where we may not.

    For tests that start servers of their own, whatever runs on the machine.
    """
    for kind in KINDS:
        _install(kind, report)
    if missing := [debian.PACKAGES[kind.key] for kind in KINDS if not kind.installed()]:
        raise ServicesUnavailable(
            f"Not installed: {', '.join(missing)}; tests that start servers of their own need it."
        )


def _start_container(kind: Kind, url: str, port: int) -> Started:
    started = Started("docker", with_port(url, port))
    containers.start(kind.key, url, port)
    # Healthy inside is not yet usable from here: a login that the container's old data does not know, for example.
    if not wait_until(lambda: kind.problem(started.url) is None, _CONTAINER_S):
        problem = kind.problem(started.url)
        containers.stop(kind.key)
        raise ServicesUnavailable(f"The container of {kind.name} started, but cannot be used: {problem}.")
    return started


def stop_services(report: Report, *, folder: Path | None = None) -> None:
    """Stop what was started here, and nothing else; the data stays for the next start."""
    record = Record(folder or state_folder())
    with record.locked():
        entries = record.read()
        for kind in KINDS:
            if entry := entries.get(kind.key):
                report(f"Stopping {kind.name} ({entry.way}) at {shown(entry.url)} ...")
                stop_started(kind, entry)
                record.remove(kind.key)
    if not entries:
        report("Nothing was started here.")


def stop_started(kind: Kind, entry: Started) -> None:
    """End one started service: its container, or its processes if they are still the same ones."""
    if entry.way == "docker":
        containers.stop(kind.key)
    for process in entry.processes:
        process.end(patience_s=30.0)
