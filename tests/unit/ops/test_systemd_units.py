"""The units of systemd that `optimizer install systemd` writes, checked by systemd's own programs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer_config.model import Backend, Config
from optimizer_ops.systemd.files import installation, wanted_units
from optimizer_ops.systemd.install import Wanted, counted, install
from optimizer_ops.systemd.scopes import place

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
CONFIG = Config(
    backends={
        "groq": Backend("groq", "openai", "http://127.0.0.1/v1", ("m",), api_key_env="GROQ_API_KEY"),
        "ollama": Backend("ollama", "openai", "http://127.0.0.1/v1", ("m",), kind="local"),
    },
    configured=frozenset({"groq", "ollama"}),
)
WORKERS = {"groq": 2, "ollama": 1}
# What systemd calls OK is below 5.0; more than this and a line of the hardening got lost.
MOST_EXPOSED = {"system": 25, "user": 75}


def files(scope, tmp_path):
    where = place(scope, Path(sys.executable), tmp_path, None)
    return where, installation(where, CONFIG, 2, WORKERS)


def written(scope, tmp_path):
    where, texts = files(scope, tmp_path)
    root = tmp_path / "root"
    for path, text in texts.items():
        target = root / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root / where.units.relative_to("/")


@pytest.mark.parametrize("scope", ["system", "user"])
def test_every_word_is_filled_in(scope, tmp_path):
    """No template's word is left in a unit, and no line says nothing."""
    _, texts = files(scope, tmp_path)
    assert not [path for path, text in texts.items() if "$" in text]
    assert not [
        line
        for text in texts.values()
        for line in text.splitlines()
        if line.endswith("=") and "Cap" not in line and "Amb" not in line
    ]


def test_the_target_starts_everything():
    """The target wants two coordinators, each worker by its instance, the recorder and the dashboard."""
    assert wanted_units(2, WORKERS) == [
        "optimizer-coordinator@1.service",
        "optimizer-coordinator@2.service",
        "optimizer-worker@groq.service",
        "optimizer-worker@groq:2.service",
        "optimizer-worker@ollama.service",
        "optimizer-recorder.service",
        "optimizer-dashboard.service",
    ]


def test_a_worker_gets_its_own_key_alone(tmp_path):
    """Each instance of groq gets the key of groq; a local backend none; the template none."""
    where, texts = files("system", tmp_path)
    keyed = {path: text for path, text in texts.items() if "LoadCredential=groq" in text}
    assert {path.parent.name for path in keyed} == {
        "optimizer-worker@groq.service.d",
        "optimizer-worker@groq:2.service.d",
    }
    assert "ollama" not in "".join(text for path, text in texts.items() if path.suffix != ".target")
    assert where.units / "optimizer-worker@.service" in texts


@needs_systemd
@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_finds_nothing_wrong(scope, tmp_path):
    """`systemd-analyze verify` says nothing about any unit."""
    folder = written(scope, tmp_path)
    units = [*folder.glob("*.target"), folder / "optimizer-recorder.service", folder / "optimizer-dashboard.service"]
    instances = []
    for template, instance in (("coordinator", "1"), ("worker", "groq:2")):
        unit = folder / f"optimizer-{template}@{instance}.service"
        unit.write_text((folder / f"optimizer-{template}@.service").read_text())
        instances.append(unit)
    said = subprocess.run(
        [ANALYZE, "verify", "--man=no", *(["--user"] if scope == "user" else []), *map(str, [*units, *instances])],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    ours = [line for line in (said.stdout + said.stderr).splitlines() if "optimizer" in line]
    assert not ours, ours


@needs_systemd
@pytest.mark.parametrize("scope", ["system", "user"])
@pytest.mark.parametrize(
    "unit", ["optimizer-coordinator@1", "optimizer-worker@groq", "optimizer-recorder", "optimizer-dashboard"]
)
def test_little_is_exposed(scope, unit, tmp_path):
    """`systemd-analyze security` rates no unit as more exposed than it has to be."""
    folder = written(scope, tmp_path)
    template = folder / (unit.partition("@")[0] + ("@.service" if "@" in unit else ".service"))
    path = folder / f"{unit}.service"
    path.write_text(template.read_text())
    said = subprocess.run(
        [ANALYZE, "security", "--offline=true", f"--threshold={MOST_EXPOSED[scope]}", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stdout[-400:] + said.stderr


def test_only_what_has_changed_is_written(tmp_path, capsys):
    """Installing again writes nothing; with one worker more, the target and that worker's key."""
    wanted = Wanted("system", 2, WORKERS, tmp_path)
    assert install(CONFIG, wanted) == 0
    first = capsys.readouterr().out
    assert install(CONFIG, wanted) == 0
    again = capsys.readouterr().out
    assert install(CONFIG, Wanted("system", 2, WORKERS | {"groq": 3}, tmp_path)) == 0
    more = capsys.readouterr().out
    assert first.count("wrote ") == 8
    assert "wrote" not in again
    assert [line for line in more.splitlines() if line.startswith("wrote")] == [
        "wrote /etc/systemd/system/optimizer.target",
        "wrote /etc/systemd/system/optimizer-worker@groq:3.service.d/key.conf",
    ]


def test_a_folder_that_may_not_be_written(tmp_path, capsys):
    """Without rights it says which file, and what to do."""
    (tmp_path / "etc").write_text("")
    assert install(CONFIG, Wanted("system", 2, WORKERS, tmp_path)) == 77
    said = capsys.readouterr().err
    assert "sudo" in said
    assert "--user" in said


def test_workers_are_counted():
    """Named backends with or without a number; without names, one of each configured backend."""
    assert counted(CONFIG, []) == {"groq": 1, "ollama": 1}
    assert counted(CONFIG, ["groq:3", "ollama"]) == {"groq": 3, "ollama": 1}
    with pytest.raises(ValueError, match="invalid literal"):
        counted(CONFIG, ["groq:many"])
