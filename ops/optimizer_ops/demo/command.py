"""`optimizer demo`: services, one run, its summary, and nothing left behind."""

import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console

from optimizer_ops.demo.backends import BACKENDS
from optimizer_ops.demo.cleanup import leave_nothing
from optimizer_ops.demo.deployment import StartFailed
from optimizer_ops.demo.fleet import NotConnected
from optimizer_ops.demo.picture import Picture
from optimizer_ops.demo.result import Result
from optimizer_ops.demo.run import EXIT_INTERRUPTED, Run
from optimizer_ops.demo.summary import summary
from optimizer_ops.services import ServicesUnavailable, ServiceUrls, ensure_services
from optimizer_service.exit_codes import EXIT_INTERNAL, EXIT_UNAVAILABLE
from optimizer_service.lifetime import run as run_loop
from optimizer_wire.broker_errors import BrokerUnavailable

_CHECKOUT = Path(__file__).resolve().parents[3]
_KEPT_RUNS = 10
EXIT_USAGE = 64


def demo(
    *, seconds: float, agents: int, stay: bool = False, json_file: str | None = None, svg_file: str | None = None
) -> int:
    """Run the demo; returns the exit code: 0 if the run was good, 1 if not, 130 after Ctrl-C.

    With `stay` it goes on after its result until Ctrl-C, which is no fault then. `json_file` gets the result,
    `svg_file` a picture of the last screen and the summary.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that knows no lines and bars shows question marks instead of a traceback.
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False)
    for path in (json_file, svg_file):
        if path and (problem := _unwritable(Path(path))):
            return _complain(problem, EXIT_USAGE)
    try:
        urls = ensure_services(lambda line: console.print(line, style="bright_black", markup=False))
        return _run(urls, console, seconds, agents, json_file, svg_file, stay=stay)
    except (ServicesUnavailable, BrokerUnavailable, NotConnected) as error:
        return _complain(error, EXIT_UNAVAILABLE)
    except StartFailed as error:
        return _complain(error, EXIT_INTERNAL)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(
    urls: ServiceUrls,
    console: Console,
    seconds: float,
    agents: int,
    json_file: str | None,
    svg_file: str | None,
    *,
    stay: bool,
) -> int:
    folder = _folder()
    picture = Picture()

    def told(result: Result) -> None:
        console.print(summary(result))

    run = Run(urls, folder, console, picture, seconds=seconds, agents=agents, stays=told if stay else None)
    try:
        code = run_loop(run.go())
    finally:
        leave_nothing(urls, run.prefix, [backend.name for backend in BACKENDS], run.reply_queues)
    if run.result is not None:
        if run.result.requests and (not stay or run.result.interrupted):
            console.print(summary(run.result))
        if json_file:
            Path(json_file).write_bytes(msgspec.json.format(msgspec.json.encode(run.result), indent=2) + b"\n")
        if svg_file:
            picture.draw(summary(run.result))
            picture.write(Path(svg_file))
        _finish(folder, console, run.result)
    return code


def _complain(sentence: object, code: int) -> int:
    print(f"optimizer: {sentence}", file=sys.stderr)
    return code


def _finish(folder: Path, console: Console, result: Result) -> None:
    """Say where the logs are; those of a good run in the folder for temporary files are deleted."""
    if result.interrupted:
        console.print("[bold]Stopped early.[/]")
    if result.ok and not folder.is_relative_to(_CHECKOUT):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        where = f"Configuration, logs and request logs: {folder}"
        console.print(where, style="bright_black", markup=False, soft_wrap=True)


def _folder() -> Path:
    """A new folder for this run: in the checkout, where the last runs are kept, else a temporary one."""
    runs = _CHECKOUT / ".run" / "demo"
    if not (_CHECKOUT / "pyproject.toml").is_file():
        return Path(tempfile.mkdtemp(prefix="optimizer-demo-"))
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for old in sorted(path for path in runs.iterdir() if path.is_dir())[:-_KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=runs))
    except OSError:
        return Path(tempfile.mkdtemp(prefix="optimizer-demo-"))


def _unwritable(path: Path) -> str | None:
    """Why the file cannot be written, found out before half a minute has passed."""
    try:
        path.open("ab").close()
    except OSError as error:
        return f"{path} cannot be written: {error.strerror}."
    return None
