"""The script of a simulated backend is read strictly, patched freely, and acted out in order."""

import ast
import json
from pathlib import Path

import pytest

from optimizer_ops.simulator import command
from optimizer_ops.simulator.faults import FaultScript, LatencyDice
from optimizer_ops.simulator.spec import Latency, Limits, SimulatorSpec, SpecError, load_specs, parse_spec, patched


def deal(count, **spec):
    """The first faults of a spec."""
    script = FaultScript(SimulatorSpec(**spec))
    return [script.deal() for _ in range(count)]


def test_shorthands_become_windows():
    """`rpm` and its kin are windows, in the order of the fields; further ones follow."""
    limits = parse_spec({"limits": {"rpm": 3, "tpd": 9, "more": [{"count": 2, "per_s": 2.5}]}}).limits

    assert [(w.count, w.per_s, w.of) for w in limits.windows()] == [
        (3, 60, "requests"),
        (9, 86400, "tokens"),
        (2, 2.5, "requests"),
    ]


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"lateny": {}}, "lateny"),
        ({"latency": {"kind": "slow"}}, "latency.kind"),
        ({"limits": {"rpm": "3"}}, "limits.rpm"),
        ({"fail": ["explode"]}, "explode"),
        ({"fail_with": [42]}, "42"),
        ([], "object"),
    ],
)
def test_mistakes_are_named(data, place):
    """A wrong field is refused with a sentence that names it."""
    with pytest.raises(SpecError, match=place):
        parse_spec(data)


def test_a_patch_merges_and_null_takes_back():
    """Objects merge, lists replace, null restores the default."""
    spec = parse_spec({"name": "a", "limits": {"rpm": 3, "concurrency": 2}, "fail": [503]})

    changed = patched(spec, {"limits": {"rpm": 9}, "fail": None})

    assert (changed.name, changed.limits, changed.fail) == ("a", Limits(rpm=9, concurrency=2), ())


def test_a_file_holds_one_spec_or_several(tmp_path):
    """Both forms load; what is not JSON is a clear error."""
    one, many, bad = tmp_path / "one.json", tmp_path / "many.json", tmp_path / "bad.json"
    one.write_text('{"name": "a"}')
    many.write_text('[{"name": "a"}, {"name": "b"}]')
    bad.write_text("name: a")

    assert [spec.name for spec in load_specs(one)] == ["a"]
    assert [spec.name for spec in load_specs(many)] == ["a", "b"]
    for path in (bad, tmp_path / "missing.json"):
        with pytest.raises(SpecError, match=path.name):
            load_specs(path)


def test_the_script_goes_first():
    """Scripted failures come in their order, then all is well; 200 means well."""
    assert deal(5, fail=(503, "hang", 200)) == [503, "hang", "ok", "ok", "ok"]


def test_the_script_can_repeat():
    """With `fail_repeat` the script begins again."""
    assert deal(5, fail=(503, 200), fail_repeat=True) == [503, "ok", 503, "ok", 503]


def test_chance_is_seeded():
    """The same seed fails the same requests, about as many as told; another seed others."""
    first = deal(1000, fail_rate=0.3, fail_with=(500, "reset"), seed=1)

    assert first == deal(1000, fail_rate=0.3, fail_with=(500, "reset"), seed=1)
    assert first != deal(1000, fail_rate=0.3, fail_with=(500, "reset"), seed=2)
    assert 250 < sum(fault != "ok" for fault in first) < 350
    assert set(first) == {"ok", 500, "reset"}


@pytest.mark.parametrize(
    ("latency", "low", "high"),
    [
        (Latency(base_s=0.2), 0.2, 0.2),
        (Latency(kind="jitter", base_s=0.2, spread_s=0.1), 0.2, 0.3),
        (Latency(kind="lognormal", base_s=0.2, sigma=0.5), 0.01, 4.0),
    ],
)
def test_latencies_are_drawn_as_told(latency, low, high):
    """Every draw is within its bounds and repeats with its seed."""
    draws = [LatencyDice(latency, 7) for _ in range(2)]

    first, second = ([dice.draw_s() for _ in range(200)] for dice in draws)

    assert first == second
    assert low <= min(first) <= max(first) <= high


def test_flags_say_the_same_as_a_file(tmp_path):
    """Everything that a file can say often is also a flag, and flags go over the file."""
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"name": "from-file", "limits": {"rpm": 1, "rpd": 7}}))
    flags = "--rpm 30 --limit 10/2.5 --limit 500/60:tokens --headers groq --fail 503,hang,200 --latency 0.1 --model m"

    options = command._parser().parse_args(["--spec", str(path), *flags.split(), "--header", "x-a: b"])

    (spec,) = command.specs_of(options)
    assert (spec.name, spec.headers, spec.models, spec.extra_headers) == ("from-file", "groq", ("m",), {"x-a": "b"})
    assert (spec.limits.rpm, spec.limits.rpd, len(spec.limits.more)) == (30, 7, 2)
    assert (spec.fail, spec.latency.base_s) == ((503, "hang", 200), 0.1)


@pytest.mark.parametrize("flags", [["--limit", "many"], ["--fail", "explode"], ["--spec", "/nowhere.json"]])
def test_wrong_flags_are_one_sentence(flags, capsys):
    """A mistake ends with code 2 and one line."""
    assert command.main(flags) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_it_imports_nothing_else_of_the_optimizer():
    """The simulator is a referee: it shares no code with what it tests."""
    imported = {
        node.module
        for path in Path(command.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("optimizer")
    }

    assert all(module.startswith("optimizer_ops.simulator") for module in imported)
