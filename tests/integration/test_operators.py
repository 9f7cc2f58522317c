"""The commands of operators as processes, on a real Redis."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.support.stack import wait_until

from optimizer_state.settings import BackendSettings, Settings
from optimizer_state.store import Store

CONFIG = """
[routes]
default = ["groq", "mine"]

[backends.groq]
limits = [{ rpm = 30, tpm = 12_000, usd_per_day = 2.5 }, { models = ["openai/gpt-oss-120b"], tpm = 8_000 }]

[backends.mine]
api = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["m"]
"""
NARROW = "tpm[openai/gpt-oss-120b]"


@pytest.fixture
def environment(tmp_path, redis_url, prefix):
    """The environment of a deployment of the test's own."""
    file = tmp_path / "optimizer.toml"
    file.write_text(CONFIG)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTIMIZER_")}
    return kept | {"OPTIMIZER_REDIS_URL": redis_url, "OPTIMIZER_PREFIX": prefix, "OPTIMIZER_CONFIG": str(file)}


@pytest.fixture
def optimizer(environment):
    """Runs the command line: optimizer("pause", "groq") gives exit code, output and errors."""

    def run(*words, **more):
        command = [sys.executable, "-m", "optimizer_ops", *words]
        done = subprocess.run(command, env=environment | more, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
async def settings(redis_url, prefix):
    """The settings as workers see them."""
    store = Store(redis_url, prefix)
    yield Settings(store)
    await store.close()


@pytest.mark.parametrize(
    ("verb", "mode", "says"),
    [("pause", "paused", "groq is paused"), ("drain", "draining", "groq is draining"), ("resume", None, "groq takes")],
)
async def test_modes_are_set_and_told(optimizer, settings, verb, mode, says):
    """Pause, drain and resume say in a sentence what holds now, and it does."""
    await settings.drain("groq")

    code, out, err = optimizer(verb, "groq")

    assert (code, err) == (0, "")
    assert out.startswith(says)
    assert out.count("\n") == 1
    assert (await settings.of(["groq"]))["groq"].mode == mode


async def test_what_was_done_is_told_as_json(optimizer, settings):
    """With --json every steering command prints one object: what was done where, whether it changed anything."""
    acts = {
        ("pause",): "paused",
        ("drain",): "draining",
        ("resume",): "resumed",
        ("budget", "set", "rpm=20"): "limits_set",
        ("budget", "reset"): "limits_reset",
    }
    for words, act in acts.items():
        code, out, err = optimizer(*words[:2], "groq", *words[2:], "--json")
        told = json.loads(out)
        assert (code, err, told["backend"], told["act"], told["changed"]) == (0, "", "groq", act, True), words
        assert told["message"].startswith("groq")
    for words, act in {("unblock",): "unblocked", ("budget", "reset"): "limits_reset"}.items():
        code, out, _ = optimizer(*words, "groq", "--json")
        told = json.loads(out)
        assert (code, told["act"], told["changed"]) == (0, act, False)
    assert (await settings.of(["groq"]))["groq"] == BackendSettings()


async def test_counts_are_set_shown_and_reset(optimizer, settings):
    """Several counts are set at once, told beside the configured ones, shown, and taken back one by one or all."""
    code, out, _ = optimizer("budget", "set", "groq", "rpm=20", f"{NARROW}=500", "usd_per_day=1.25", "concurrency=2")

    assert code == 0
    assert "rpm is now 20 (configured: 30)" in out
    assert "usd_per_day is now $1.25 (configured: $2.50)" in out
    limits = {"rpm": 20, NARROW: 500, "usd_per_day": 1_250_000, "concurrency": 2}
    assert (await settings.of(["groq"]))["groq"] == BackendSettings(None, limits)

    rows = [line.split() for line in optimizer("budgets", "groq")[1].splitlines()]

    assert ["groq", "rpm", "0", "0", "20", "20"] in [row[:6] for row in rows]

    assert optimizer("budget", "reset", "groq", "rpm")[1] == "groq: rpm is 30 again, as configured.\n"
    assert "concurrency is 8 again" in optimizer("budget", "reset", "groq")[1]
    assert (await settings.of(["groq"]))["groq"] == BackendSettings()
    assert optimizer("budget", "reset", "groq")[1] == "groq: nothing was set; the configured counts hold.\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("pause", "grok"), 'There is no backend "grok"; did you mean "groq"?'),
        (("budgets", "minne"), 'There is no backend "minne"; did you mean "mine"?'),
        (("budget", "set", "groq", "rmp=3"), 'groq has no limit "rmp" in the configuration; did you mean "rpm"?'),
        (("budget", "set", "groq", "rpm=0"), "rpm must be a positive number"),
        (("budget", "reset", "groq", "tpd"), 'groq has no limit "tpd"'),
    ],
)
async def test_unknown_names_change_nothing(optimizer, settings, words, sentence):
    """A mistyped name is one sentence with the nearest one, exit code 78, and no change."""
    code, out, err = optimizer(*words)

    assert (code, out) == (78, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert (await settings.of(["groq"]))["groq"] == BackendSettings()


@pytest.mark.parametrize("words", [("budgets",), ("pause", "groq"), ("budget", "set", "groq", "rpm=3")])
def test_without_redis_a_sentence_says_so(optimizer, words):
    """While Redis is away a command says so in one sentence and leaves with 69."""
    code, out, err = optimizer(*words, OPTIMIZER_REDIS_URL="redis://127.0.0.1:1/0")

    assert (code, out) == (69, "")
    assert "Redis at redis://127.0.0.1:1/0 does not answer" in err
    assert err.count("\n") == 1


def test_configured_backends_are_shown_and_others_when_named(optimizer):
    """Without a name the configured backends are shown, in the file's order or not; with one only that."""
    assert {line.split()[0] for line in optimizer("budgets")[1].splitlines()[1:]} == {"groq", "mine"}
    assert {line.split()[0] for line in optimizer("budgets", "mistral")[1].splitlines()[1:]} == {"mistral"}


def test_json_is_one_object(optimizer):
    """--json prints one object with a list of backends."""
    backends = {each["backend"]: each for each in json.loads(optimizer("budgets", "--json")[1])["backends"]}

    assert backends["groq"]["limits"][0]["left"] == 30
    assert backends["groq"]["state"] == ["no worker runs"]


def test_watching_goes_on_until_it_is_stopped(environment, tmp_path):
    """--watch looks again every second and ends with 0 when it is stopped."""
    output = tmp_path / "seen"
    with output.open("wb") as sink:
        watching = subprocess.Popen(
            [sys.executable, "-m", "optimizer_ops", "budgets", "--watch", "--json"], env=environment, stdout=sink
        )
    try:
        wait_until(lambda: output.read_text().count("\n") >= 2, "a second look")
    finally:
        watching.send_signal(signal.SIGTERM)

    assert watching.wait(10) == 0
