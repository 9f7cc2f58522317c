"""The files of an installation: units from their templates, and what each worker gets of its own. Pure but for reading
the templates.
"""

from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from string import Template

from optimizer_config.model import Config
from optimizer_ops.systemd.scopes import ACCOUNT, Place, load_credential

_TEMPLATES = files("optimizer_ops.systemd") / "units"
_SYSUSERS = f"""\
# Who the processes of the optimizer run as: systemd-sysusers
u {ACCOUNT} - "The optimizer" /var/lib/optimizer
"""


def wanted_units(coordinators: int, workers: dict[str, int]) -> list[str]:
    """The services that the target starts; the second worker of groq is `groq:2`."""
    return [
        *(f"optimizer-coordinator@{number}.service" for number in range(1, coordinators + 1)),
        *(f"optimizer-worker@{instance}.service" for backend in workers for instance in _instances(backend, workers)),
        "optimizer-recorder.service",
        "optimizer-dashboard.service",
    ]


def installation(place: Place, config: Config, coordinators: int, workers: dict[str, int]) -> dict[Path, str]:
    """Every file of an installation, and its text."""
    words = place.words | {"wants": " ".join(wanted_units(coordinators, workers))}
    found = {
        place.units / template.name: _tidy(Template(template.read_text(encoding="utf-8")).substitute(words))
        for template in sorted(_TEMPLATES.iterdir(), key=lambda each: each.name)
    }
    if place.scope == "system":
        found |= dict(_keys(place, config, workers))
        found[Path("/etc/sysusers.d/optimizer.conf")] = _SYSUSERS
    return found


def _keys(place: Place, config: Config, workers: dict[str, int]) -> Iterator[tuple[Path, str]]:
    """A worker gets the key of its own backend, and no other's."""
    for name in workers:
        backend = config.backend(name)
        if backend.api_key_env and not backend.api_key_file:
            for instance in _instances(name, workers):
                folder = place.units / f"optimizer-worker@{instance}.service.d"
                yield folder / "key.conf", f"[Service]\n{load_credential(backend.name)}\n"


def _instances(backend: str, workers: dict[str, int]) -> Iterable[str]:
    return (backend if number == 1 else f"{backend}:{number}" for number in range(1, workers[backend] + 1))


def _tidy(text: str) -> str:
    """Without the empty lines of what does not apply."""
    lines = text.strip().splitlines()
    kept = [line for line, after in zip(lines, [*lines[1:], ""], strict=True) if line or after.startswith("[")]
    return "\n".join(kept) + "\n"
