"""`optimizer install systemd`: writes the units, and says what to do next. It starts nothing."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from optimizer_config.model import Config
from optimizer_ops.systemd.files import installation
from optimizer_ops.systemd.scopes import CREDENTIAL_PREFIX, Place, Scope, place
from optimizer_service.exit_codes import EXIT_NOT_PERMITTED


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be installed. `workers` is how many of each backend; `root` goes before every path, for images."""

    scope: Scope
    coordinators: int
    workers: dict[str, int]
    root: Path
    dry_run: bool = False


def install(config: Config, wanted: Wanted) -> int:
    """Write what has changed; returns the exit code."""
    where = place(wanted.scope, program(), Path.home(), config.path if _is_unusual(config) else None)
    files = installation(where, config, wanted.coordinators, wanted.workers)
    if wanted.dry_run:
        for path, text in files.items():
            print(f"# {path}\n{text}")
        return 0
    try:
        changed = [path for path, text in files.items() if _write(wanted.root / path.relative_to("/"), text)]
    except OSError as error:
        hint = "run it with sudo, or add --user" if wanted.scope == "system" else "check the folder's rights"
        print(f"optimizer: {error.filename} cannot be written ({error.strerror}); {hint}.", file=sys.stderr)
        return EXIT_NOT_PERMITTED
    for path in changed:
        print(f"wrote {path}")
    if not changed:
        print("Every unit is as it should be.")
    print(next_steps(config, where, wanted))
    return 0


def program() -> Path:
    """The command that the units start: the one beside this Python."""
    beside = Path(sys.executable).with_name("optimizer")
    return beside if beside.exists() else Path(shutil.which("optimizer") or beside)


def next_steps(config: Config, where: Place, wanted: Wanted) -> str:
    """What the operator does now, as commands."""
    if wanted.scope == "user":
        environment = where.folder.replace("%h", "~") + "/environment"
        return (
            f"\nNow put the keys into {environment} (GROQ_API_KEY=…, readable by you alone), then:\n\n"
            "  systemctl --user daemon-reload\n"
            "  systemctl --user enable --now optimizer.target\n"
            "  loginctl enable-linger        # so that it runs while you are not logged in\n"
            "  optimizer doctor"
        )
    keyed = (backend for name in wanted.workers if (backend := config.backend(name)).api_key_env)
    keys = [f"  install -m 600 /dev/stdin /etc/credstore/{CREDENTIAL_PREFIX}{backend.name}" for backend in keyed]
    return "\n".join(
        (
            "\nNow, as root:\n",
            "  systemd-sysusers",
            *(["  install -d -m 700 /etc/credstore", *keys] if keys else []),
            "  systemctl daemon-reload",
            "  systemctl enable --now optimizer.target",
            "  optimizer doctor",
            *(["\nEach `install` reads a key from the terminal: paste it, then Enter and Ctrl-D."] if keys else []),
        )
    )


def counted(config: Config, named: list[str]) -> dict[str, int]:
    """How many workers of each backend: `groq:3` is three of them; without names, one of each configured backend.

    :raises ConfigError: if a backend is not known.
    :raises ValueError: if a number is none.
    """
    if not named:
        return dict.fromkeys((name for name in config.backends if name in config.served), 1)
    workers = {}
    for text in named:
        name, _, number = text.partition(":")
        workers[config.backend(name).name] = max(1, int(number or 1))
    return workers


def warnings(config: Config, wanted: Wanted) -> list[str]:
    """What will keep the units from working, as far as it can be seen now."""
    found = []
    if wanted.scope == "system" and str(program()).startswith(("/root/", "/home/")):
        found.append(
            f"The units start {program()}, which the account `optimizer` may not read: "
            "install the optimizer in /opt/optimizer, for example."
        )
    if not wanted.workers:
        found.append("No backend is configured, so no worker is started: name some with --worker or in optimizer.toml.")
    missing = sorted(name for name in config.served if name not in wanted.workers)
    if missing:
        found.append(f"No worker is started for {', '.join(missing)}, which the configuration names.")
    return found


def _is_unusual(config: Config) -> bool:
    usual = {"/etc/optimizer/optimizer.toml", str(Path.home() / ".config/optimizer/optimizer.toml")}
    return config.path is not None and str(Path(config.path).absolute()) not in usual


def _write(path: Path, text: str) -> bool:
    """Whether the file had to be written."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True
