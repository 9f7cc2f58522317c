"""The pause that a response asks for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_backends.hints import retry_after_s

DATE = ("date", "Wed, 21 Oct 2026 07:28:00 GMT")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([("retry-after", "7")], 7.0),
        ([("retry-after", "0.25")], 0.25),
        ([("retry-after", "-3")], 0.0),
        ([("retry-after", "1e12")], 86400.0),
        ([("retry-after", "nan")], None),
        ([("retry-after", "inf")], None),
        ([("retry-after", "soon")], None),
        ([("retry-after", "")], None),
        ([("retry-after-ms", "1500"), ("retry-after", "9")], 1.5),
        ([("retry-after-ms", "?"), ("retry-after", "9")], 9.0),
        ([("retry-after", "Wed, 21 Oct 2026 07:28:40 GMT"), DATE], 40.0),
        ([("retry-after", "Wed, 21 Oct 2026 07:27:40 GMT"), DATE], 0.0),
        ([("retry-after", "Wed, 21 Oct 2026 07:28:40 GMT")], None),
        ([("retry-after", "Wed, 21 Oct 2026 07:28:40"), DATE], None),
        ([("retry-after", "Wed, 99 Foo 2026 07:28:40 GMT"), DATE], None),
    ],
)
def test_forms_of_retry_after(headers, seconds):
    """Seconds, milliseconds, or a date measured from the response's own clock; nonsense is no hint."""
    assert retry_after_s(429, tuple(headers)) == seconds


@pytest.mark.parametrize(("status", "obeyed"), [(200, 0), (400, 0), (408, 0), (429, 1), (500, 1), (503, 1), (529, 1)])
def test_only_refusals_are_obeyed(status, obeyed):
    """Anthropic sends `retry-after` with answers as well; there it means nothing."""
    assert retry_after_s(status, (("retry-after", "59"),)) == (59.0 if obeyed else None)


@given(st.text(), st.text())
def test_any_header_is_survived(after, date):
    """Whatever stands in the headers gives a pause between nothing and a day, or none."""
    pause = retry_after_s(429, (("retry-after-ms", after), ("retry-after", after), ("date", date)))

    assert pause is None or (math.isfinite(pause) and 0 <= pause <= 86400)
