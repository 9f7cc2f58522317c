"""Fetching a submitted request, turn by turn: what is asked, when it is asked again, and when it is over."""

import msgspec
import pytest

from optimizer_client.fetching import FRESH_S, LEAST_S, TURN_S, Fetching, in_words, status_in
from optimizer_wire.errors import (
    BadRequestError,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotFoundError,
    NotReady,
    OptimizerUnavailable,
)
from optimizer_wire.ids import new_id
from optimizer_wire.messages import VERSION, ErrorInfo, Reply, Status

NOW = 100.0


def fetching(timeout_s=10.0, request_id="mine", wall=lambda: 0.0):
    return Fetching("agent", request_id, timeout_s, NOW, wall)


def told(state, *, error=None, **more):
    """A reply of a coordinator."""
    result = msgspec.Raw(msgspec.msgpack.encode({"choices": []}))
    status = None if state is None else Status(state, **more)
    return Reply(VERSION, "question", ok=error is None, result=result, error=error, status=status)


def test_one_turn_after_the_other():
    """Each question has an id of its own, waits for a turn at most, and the last one for what is left."""
    one = fetching(timeout_s=5.0)
    questions = [one.question(NOW + second) for second in (0, 4, 6)]

    assert len({each.id for each in questions}) == 3
    assert {each.request_id for each in questions} == {"mine"}
    assert [each.wait_ms for each in questions] == [TURN_S * 1000, 1000, 0]
    assert [each.timeout_ms for each in questions] == [10_000, 7_000, 6_000]
    assert all(each.timeout_ms >= LEAST_S * 1000 for each in questions)


def test_an_answer_and_an_error_end_it():
    """What the request ended with is returned or raised under the request's own id."""
    assert fetching().heard(told("answered"), NOW).id == "mine"
    with pytest.raises(BadRequestError) as caught:
        fetching().heard(told("failed", error=ErrorInfo("invalid_request", "No.")), NOW)
    assert caught.value.request_id == "mine"


def test_it_is_asked_again_until_the_time_is_over():
    """While there is time a request that waits or runs is asked for again; then its status is told with the error."""
    one = fetching(timeout_s=5.0)
    assert one.heard(told("waiting", position=3, expected_wait_s=12.0), NOW + 4) is None
    with pytest.raises(NotReady, match="within 5 s: it waits, with 3 before it, for about 12 s more") as caught:
        one.heard(told("waiting", position=3, expected_wait_s=12.0), NOW + 5)
    assert caught.value.status.position == 3


@pytest.mark.parametrize(("age_s", "again"), [(FRESH_S - 1, True), (FRESH_S + 1, False)])
def test_an_unknown_id_that_is_young_may_be_on_its_way(age_s, again):
    """An id that was made a moment ago is asked for again; an older one, and one of another form, is not found."""
    request_id = new_id()
    made_s = int(request_id.replace("-", "")[:12], 16) / 1000
    unknown = told("unknown", error=ErrorInfo("not_found", "There is none."))
    one = fetching(request_id=request_id, wall=lambda: made_s + age_s)

    if again:
        assert one.heard(unknown, NOW) is None
    else:
        with pytest.raises(NotFoundError, match="There is none"):
            one.heard(unknown, NOW)
    with pytest.raises(NotFoundError):
        fetching().heard(unknown, NOW)


def test_silence_is_answered_with_another_question():
    """A turn that nobody answers, or a lost connection later on, costs that turn; with no time left it is told."""
    one = fetching(timeout_s=5.0)
    one.failed(DeadlineExceeded("No answer."), NOW + 4)
    one.heard(told("running"), NOW + 4)
    one.failed(OptimizerUnavailable("Lost."), NOW + 4)
    with pytest.raises(NotReady, match="Nobody has told how the request stands: No answer"):
        one.failed(DeadlineExceeded("No answer."), NOW + 5)
    with pytest.raises(OptimizerUnavailable):
        fetching().failed(OptimizerUnavailable("Never."), NOW)


def test_a_question_that_fails_is_raised():
    """What is wrong with the question itself, such as Redis being away, is raised at once."""
    away = told(None, error=ErrorInfo("internal", "Redis is away.", retryable=True))
    with pytest.raises(InternalError, match="away"):
        fetching().heard(away, NOW)
    with pytest.raises(InternalError, match="away"):
        status_in(away)
    with pytest.raises(InternalError, match="without a status"):
        status_in(told(None))
    with pytest.raises(InvalidRequest):
        fetching().failed(InvalidRequest("No."), NOW)


@pytest.mark.parametrize("timeout_s", [-1, True, "5", float("nan"), 24 * 3600 + 1])
def test_a_timeout_that_makes_no_sense(timeout_s):
    """A timeout must be a number from 0 to a day."""
    with pytest.raises(InvalidRequest, match="timeout"):
        fetching(timeout_s=timeout_s)


@pytest.mark.parametrize("request_id", ["", "x" * 201, 5])
def test_an_id_that_makes_no_sense(request_id):
    """An id must be text of a sensible length."""
    with pytest.raises(InvalidRequest, match="id"):
        fetching(request_id=request_id).question(NOW)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, "nothing is known of it"),
        (Status("unknown"), "nothing is known of it"),
        (Status("running", 0, 0.0), "its call is running"),
        (Status("waiting"), "it waits"),
        (Status("waiting", None, 4.0), "it waits, for about 4 s more"),
        (Status("answered"), "it has been answered"),
        (Status("failed"), "it has failed"),
    ],
)
def test_a_status_in_words(status, expected):
    """A status is told as a part of a sentence."""
    assert in_words(status) == expected
