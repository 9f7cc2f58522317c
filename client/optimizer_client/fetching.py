"""Asking about a submitted request until it has ended or the time is over. Pure; shared by both clients.

A coordinator waits for an answer for a few seconds and then says how the request stands, so that one that dies, or a
connection that breaks, costs one such turn and nothing else.
"""

import re
from collections.abc import Callable

import msgspec

from optimizer_client.reply import Reply, reply_from
from optimizer_wire import messages
from optimizer_wire.errors import (
    InternalError,
    InvalidRequest,
    NotFoundError,
    NotReady,
    OptimizerError,
    OptimizerUnavailable,
    error_from,
)
from optimizer_wire.ids import new_id
from optimizer_wire.messages import VERSION, Fetch, Status

# How long a coordinator may wait before it says how a request stands, and how long it may take to say so.
TURN_S, ANSWER_S = 4.0, 6.0
# Even who has no time left gives it this to answer.
LEAST_S = 5.0
# A coordinator may be frozen, with the request, until RabbitMQ gives that to another: so long an id that is not known
# is not taken for one that was never submitted.
FRESH_S = 30.0
STATUS_WAIT_S = 1.5
# RabbitMQ confirms within milliseconds, or has an alarm.
CONFIRM_S = 30.0
LONGEST_S = 24 * 3600.0

_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def status_question(agent: str, request_id: str) -> Fetch:
    """Ask how a request stands."""
    return _question(agent, request_id, "status", STATUS_WAIT_S, STATUS_WAIT_S + ANSWER_S)


def cancel_question(agent: str, request_id: str) -> Fetch:
    """Ask to cancel a request."""
    return _question(agent, request_id, "cancel", STATUS_WAIT_S, STATUS_WAIT_S + ANSWER_S)


def status_in(wire: messages.Reply) -> Status:
    """How the request stands, or stood before it was cancelled.

    :raises OptimizerError: if the question could not be answered.
    """
    if wire.status is not None:
        return wire.status
    raise _error_in(wire, None)


def not_ended(status: Status) -> bool:
    """Whether a request waits or runs."""
    return status.state in {"waiting", "running"}


class Fetching:
    """One fetch: what to send next, and what follows from what comes back. Times are seconds of a monotonic clock."""

    def __init__(self, agent: str, request_id: str, timeout_s: float, now: float, wall: Callable[[], float]) -> None:
        """`wall` tells the Unix time: an id tells when it was made.

        :raises InvalidRequest: if the timeout makes no sense.
        """
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or not 0 <= timeout_s <= LONGEST_S:
            raise InvalidRequest(f"The timeout must be a number of seconds from 0 to a day, not {timeout_s!r}.")
        self._agent = agent
        self._request_id = request_id
        self._timeout_s = timeout_s
        self._until = now + timeout_s
        self._wall = wall
        self._heard = False
        self._status: Status | None = None

    def question(self, now: float) -> Fetch:
        """What to ask now.

        :raises InvalidRequest: if the id makes no sense.
        """
        wait_s = min(max(0.0, self._until - now), TURN_S)
        return _question(self._agent, self._request_id, "answer", wait_s, max(LEAST_S, wait_s + ANSWER_S))

    def heard(self, wire: messages.Reply, now: float) -> Reply | None:
        """The answer in what came back; None: ask again.

        :raises NotReady: the request has not ended, and the time is over.
        :raises NotFoundError: there is no such request.
        :raises OptimizerError: the error that the request ended with, or that of the question.
        """
        self._heard, self._status = True, wire.status
        if wire.status is None or wire.status.ended:
            if wire.error is not None:
                raise _error_in(wire, self._request_id)
            return reply_from(msgspec.structs.replace(wire, id=self._request_id))
        if now < self._until and (wire.status.state != "unknown" or self._fresh()):
            return None
        if wire.status.state == "unknown":
            raise NotFoundError(_error_in(wire, None).message, request_id=self._request_id)
        raise NotReady(self._not_yet(), request_id=self._request_id, status=wire.status)

    def failed(self, error: OptimizerError, now: float) -> None:
        """The question was not answered: returns if it is to be asked again.

        :raises OptimizerUnavailable: there is no connection.
        :raises NotReady: nobody answers, and the time is over.
        """
        if isinstance(error, OptimizerUnavailable) and not self._heard:
            raise error
        if not isinstance(error, OptimizerUnavailable | TimeoutError):
            raise error
        if now >= self._until:
            sentence = f"Nobody has told how the request stands: {error.message}"
            raise NotReady(sentence, request_id=self._request_id, status=self._status) from error

    def _fresh(self) -> bool:
        found = _UUID7.fullmatch(self._request_id)
        return found is not None and self._wall() - int(found[1] + found[2], 16) / 1000 < FRESH_S

    def _not_yet(self) -> str:
        return f"The request has not ended within {self._timeout_s:g} s: {in_words(self._status)}."


_WORDS = {"running": "its call is running", "answered": "it has been answered", "failed": "it has failed"}


def in_words(status: Status | None) -> str:
    """How a request stands, as part of a sentence."""
    if status is None or status.state == "unknown":
        return "nothing is known of it"
    if status.state != "waiting":
        return _WORDS[status.state]
    before = "" if status.position is None else f", with {status.position} before it"
    wait = "" if status.expected_wait_s is None else f", for about {status.expected_wait_s:.0f} s more"
    return f"it waits{before}{wait}"


def _question(agent: str, request_id: str, want: str, wait_s: float, timeout_s: float) -> Fetch:
    fields = {
        "v": VERSION,
        "id": new_id(),
        "agent": agent,
        "request_id": request_id,
        "want": want,
        "wait_ms": round(wait_s * 1000),
        "timeout_ms": round(timeout_s * 1000),
    }
    try:
        return msgspec.convert(fields, Fetch)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The id of a request makes no sense: {error}.") from error


def _error_in(wire: messages.Reply, request_id: str | None) -> OptimizerError:
    if wire.error is None:
        return InternalError("The optimizer sent a reply without a status.", request_id=request_id)
    return error_from(wire.error, request_id)
