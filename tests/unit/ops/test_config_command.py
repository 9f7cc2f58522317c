"""`optimizer config`: the lines of a file, where values come from, and that what is shown is what holds."""

import json
import tomllib

import msgspec
import pytest

from optimizer_config.load import load
from optimizer_ops.config import show as shown
from optimizer_ops.config.check import verdict_of
from optimizer_ops.config.lines import lines_of, nearest, path_of
from optimizer_ops.config.toml import value
from optimizer_service.exit_codes import EXIT_CONFIG

FILE = """\
prefix = "mine"           # a comment with [brackets] = in it
amqp_url = "amqp://hub:hidden-password@127.0.0.1/"

[backends.groq]
limits = [
  { rpm = 20, tpm = 5_000 },
  { models = ["openai/gpt-oss-120b"], tpm = 4_000 },
  { name = "burst", count = 5, per_s = 10 },
  { tpd = 100_000, reset = "00:00 America/Los_Angeles" },
  { usd_per_day = 2.5, concurrency = 3 },
]
headers = { "X-Secret" = "hidden-header" }
breaker.failures = 2

[breaker]
open_s = 60

[backends."llama.cpp"]
max_share = 0.25

[routes]
default = ["groq", "llama.cpp"]

[models]
"fast.one" = ["groq/llama-3.1-8b-instant"]

[quotas]
agent = { rpm = 30 }

[agents.quality]
tier = "professional"

[users.quality]
role = "agent"
agents = ["qa-*"]

[waits]
retry_s = [0.5, 2]

[[alerts.sinks]]
kind = "webhook"
url = "https://chat.example.org/hidden-path"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A configuration file, and an environment that says nothing else."""
    for name in ("OPTIMIZER_PREFIX", "OPTIMIZER_AMQP_URL", "OPTIMIZER_REDIS_URL", "OPTIMIZER_HISTORY_URL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "optimizer.toml"
    path.write_text(FILE)
    return path


def test_lines_of_keys_and_tables():
    """Each key and table has the line on which it begins, whatever it is written like."""
    lines = lines_of(FILE)

    assert lines[("prefix",)] == 1
    assert lines[("backends", "groq")] == 4
    assert lines[("backends", "groq", "limits")] == 5
    assert lines[("backends", "groq", "limits", "concurrency")] == 5
    assert lines[("backends", "groq", "breaker", "failures")] == 13
    assert lines[("backends", "llama.cpp", "max_share")] == 19
    assert lines[("models", "fast.one")] == 25
    assert lines[("alerts", "sinks", "url")] == 42


def test_the_nearest_line_and_the_place_of_an_error():
    """A key that is missing is found by its table; a place reads as the errors write it."""
    assert path_of('backends."llama.cpp".limits[2].rpm') == ("backends", "llama.cpp", "limits", "rpm")
    assert nearest({("a",): 3, ("a", "b"): 7}, ("a", "b", "c")) == 7
    assert nearest({("a",): 3}, ("x",)) is None


def test_what_is_shown_is_what_holds(file, tmp_path):
    """What `config show` prints is a configuration that says the same, but for what is masked."""
    config = load(str(file), {})
    text = "\n".join(line.plain for line in shown.toml_lines(shown.entries_of(config, every=False), origin=True))
    tomllib.loads(text)
    again = tmp_path / "again.toml"
    again.write_text(text.replace("***", "x"))

    found = load(str(again), {})

    for name in (
        "prefix",
        "redis_url",
        "routes",
        "models",
        "users",
        "waits",
        "quotas",
        "retries",
        "cache",
        "history_url",
    ):
        assert getattr(found, name) == getattr(config, name), name
    for name in ("groq", "llamacpp"):
        assert without_sources(found.backends[name]) == without_sources(config.backends[name])
    assert found.configured == config.configured


def without_sources(backend):
    """A backend without its masked headers, and without what the catalogue says of where its limits are from."""
    limits = tuple(msgspec.structs.replace(limit, source="", as_of="") for limit in backend.limits)
    return msgspec.structs.replace(backend, limits=limits, headers={})


def test_secrets_are_masked(file, capsys):
    """No password, header or path of a webhook is shown, as TOML or as JSON."""
    for as_json in (False, True):
        assert shown.show(load(str(file), {}), origin=True, every=True, as_json=as_json) == 0
        assert "hidden" not in capsys.readouterr().out


def test_origins(file, monkeypatch, capsys):
    """Each value says where it is from: a variable, a line, the catalogue, or nowhere but the default."""
    monkeypatch.setenv("OPTIMIZER_PREFIX", "other")
    shown.show(load(str(file)), origin=False, every=False, as_json=True)
    values = {each["key"]: each for each in json.loads(capsys.readouterr().out)["values"]}
    origins = {key: each["origin"] for key, each in values.items()}

    assert values["prefix"]["value"] == "other"
    assert origins["prefix"] == "environment OPTIMIZER_PREFIX"
    assert origins["amqp_url"] == "optimizer.toml:2"
    assert origins["redis_url"] == "default"
    assert origins["backends.groq.limits"] == "optimizer.toml:5"
    assert origins["backends.groq.concurrency"] == "optimizer.toml:5"
    assert origins["backends.groq.breaker.failures"] == "optimizer.toml:13"
    assert origins["backends.groq.breaker.open_s"] == "optimizer.toml:16"
    assert origins["backends.groq.breaker.within_s"] == "default"
    assert origins["backends.groq.models"] == "catalogue"
    assert origins["backends.llamacpp.max_share"] == "optimizer.toml:19"
    assert origins['models."fast.one"'] == "optimizer.toml:25"
    assert origins["waits.drain_s"] == "default"


def test_a_mistake_has_a_line(tmp_path):
    """A check names the line of a mistake, or of the table where something is missing; TOML itself, too."""
    path = tmp_path / "wrong.toml"
    for text, line, words in (
        ('[waits]\nhold_s = 5\ndrain_s = "x"\n', 3, "waits.drain_s"),
        ('\n[backends.mine]\nmodels = ["m"]\n', 2, "base_url is missing"),
        ("[routes]\ndefault = [\n  'grok'\n]\n", 2, "grok"),
        ("[waits\n", None, "line 1"),
    ):
        path.write_text(text)
        verdict = verdict_of(str(path))
        assert (verdict.ok, verdict.line) == (False, line), text
        assert words in verdict.error


def test_check_as_a_command(tmp_path, file, capsys):
    """A right file gives 0, with its warnings; a wrong one 78 and one sentence."""
    from optimizer_ops.config.check import check

    file.write_text('[routes]\ndefault = ["groq/unheard-of"]\n')
    assert check(str(file), as_json=False) == 0
    told = capsys.readouterr()
    assert "1 backend, 1 route, 1 warning." in told.out
    assert "unheard-of" in told.err

    file.write_text("waits = 3\n")
    assert check(str(file), as_json=False) == EXIT_CONFIG
    assert capsys.readouterr().err == f"optimizer: {file}: waits must be a table, got 3. (line 1)\n"
    assert check(str(tmp_path / "nowhere.toml"), as_json=True) == EXIT_CONFIG
    assert json.loads(capsys.readouterr().out)["ok"] is False


@pytest.mark.parametrize(
    "given",
    [True, 3, 0.25, 1e-07, "plain", 'a "quoted" \\ line\nand é', ["a", "b"], {"a.b": [1, 2]}, {"x": {"y": False}}, []],
)
def test_values_as_toml(given):
    """Every value reads back as it was."""
    assert tomllib.loads(f"x = {value(given)}") == {"x": given}
