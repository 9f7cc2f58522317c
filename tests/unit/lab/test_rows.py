"""The rows of the fault table, and the tests that prove them."""

import ast
from collections import defaultdict
from pathlib import Path

FAULTS = Path(__file__).parents[2] / "faults"
ROWS = range(1, 25)
# No more than two may stay without a test; docs/reliability.md says how each of them is handled in code.
UNTESTED: frozenset[int] = frozenset()


def rows_of(node: ast.AST) -> set[int]:
    """The rows that a test function or a module names in its marks."""
    found = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
            found |= {ast.literal_eval(argument) for argument in call.args}
    return found


def proofs() -> dict[int, list[str]]:
    """The tests of each row."""
    found = defaultdict(list)
    for path in sorted(FAULTS.glob("test_*.py")):
        module = ast.parse(path.read_text())
        shared = {row for node in module.body if isinstance(node, ast.Assign) for row in rows_of(node)}
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                marks = {row for mark in node.decorator_list for row in rows_of(mark)} | shared
                assert marks, f"{path.name}: {node.name} names no row of the fault table"
                for row in marks:
                    found[row].append(f"{path.name}::{node.name}")
    return found


def test_every_row_has_a_test():
    """Each of the 24 rows of the fault table has a test, but for at most two that are listed."""
    found = proofs()
    assert set(found) <= set(ROWS)
    assert set(ROWS) - set(found) == UNTESTED
    assert len(UNTESTED) <= 2
