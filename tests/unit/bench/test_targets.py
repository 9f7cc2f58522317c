"""What is said of the targets."""

from tests.bench.parts import cost
from tests.bench.report import Results
from tests.bench.targets import Target, targets


def test_a_bound_is_met_from_its_own_side():
    """At least and at most mean what they say, the bound itself included; what was not measured is neither."""
    assert [Target("", 2, measured, at_least=True).met for measured in (1, 2, 3, None)] == [False, True, True, None]
    assert [Target("", 2, measured).met for measured in (1, 2, 3, None)] == [True, True, False, None]


def test_the_median_of_what_was_measured_is_held_against_its_target():
    """Of a run of one part, the targets of that part are judged, and no others."""
    results = Results()
    for value in (0.9, 1.0, 1.5):
        results.add(cost.part("cached"), cost.flat(cost.MANY), value, "×")
    assert [target.measured for target in targets(results)] == [1.0]
