"""The tree of errors: drawn as it is, and each error the same after its journey."""

import inspect
import re

import pytest

from optimizer_wire import errors
from optimizer_wire.errors import CODES, DeadlineExceeded, InternalError, OptimizerError, error_from
from optimizer_wire.messages import ErrorInfo

CLASSES = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, OptimizerError)
}
# The codes that travel, as the design lists them.
TRAVELLING = {
    "invalid_request",
    "unknown_model",
    "context_too_long",
    "content_filtered",
    "not_found",
    "unauthorized",
    "quota_exceeded",
    "overloaded",
    "deadline_exceeded",
    "cancelled",
    "backend_unavailable",
    "idempotency_conflict",
    "internal",
}


def drawn():
    """The tree of the module's docstring: (class, its parents, the rest of the line)."""
    path = []
    for line in errors.__doc__.splitlines():
        found = re.fullmatch(r"    ([│├└─ ]*)(\w+)(?: \((\w+)\))?\s*(.*)", line)
        if not found or found[2] not in CLASSES:
            continue
        depth = len(found[1]) // 4
        path = [*path[:depth], found[2]]
        parents = ([path[-2]] if depth else ["Exception"]) + ([found[3]] if found[3] else [])
        yield found[2], parents, found[4]


def test_the_drawing_is_the_tree():
    """Every class is drawn once, under its parent."""
    shown = {name: parents for name, parents, _ in drawn()}

    assert shown == {name: [base.__name__ for base in kind.__bases__] for name, kind in CLASSES.items()}


def test_the_drawn_codes():
    """The code beside a class is its own, and every class that travels has one."""
    codes = {name: words for name, _, words in drawn() if re.fullmatch(r"[a-z_]+", words)}

    assert codes == {kind.__name__: code for code, kind in CODES.items()}


def test_codes():
    """Exactly the documented codes travel, each of them one class."""
    assert set(CODES) == TRAVELLING
    assert len(set(CODES.values())) == len(CODES)
    assert all(kind.code == code for code, kind in CODES.items())


@pytest.mark.parametrize("kind", CODES.values(), ids=CODES)
def test_journey(kind):
    """An error comes out as the class it was, with its words, its hint, and whether trying again may help."""
    sent = kind("It went wrong.", retry_after_s=2.5)
    come = error_from(sent.info, "r1")

    assert type(come) is kind
    assert (str(come), come.retry_after_s, come.request_id) == ("It went wrong.", 2.5, "r1")
    assert come.info == sent.info
    assert sent.info.retryable is kind.retryable


def test_code_of_a_newer_version():
    """A code that this version does not know becomes an internal error with its message."""
    come = error_from(ErrorInfo("brand_new", "Something else."))

    assert type(come) is InternalError
    assert str(come) == "Something else."


def test_deadline_is_a_timeout():
    """Who catches TimeoutError catches a passed deadline."""
    assert issubclass(DeadlineExceeded, TimeoutError)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_pickled(kind):
    """Errors survive a process pool and copy, with their fields."""
    import copy
    import pickle

    error = kind("It went wrong.", retry_after_s=1.0, request_id="r")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(twin), twin.args, vars(twin)) == (kind, error.args, vars(error))
