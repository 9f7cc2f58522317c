"""Which outcome an error is, and what is said about it. The tables are in `error_tables`."""

from optimizer_backends.error_tables import BILLING_ENDINGS, CODES, DECISIVE, LONG_WINDOW, SENTENCES, STATUSES, TEXTS
from optimizer_backends.fault import Fault
from optimizer_backends.hints import LONGEST_PAUSE_S, retry_after_s, should_retry
from optimizer_backends.outcome import Outcome
from optimizer_backends.result import CallResult, Headers
from optimizer_backends.scrub import safe_text

# Of these the backend's own words help whoever asked; of the others they say nothing more, or name keys and accounts.
_QUOTED = frozenset({Outcome.invalid, Outcome.unknown_model, Outcome.context_too_long})


def outcome_of(fault: Fault) -> Outcome:
    """The outcome of an error, as far as its body and status tell."""
    outcome = _outcome(fault)
    if outcome is Outcome.throttled and LONG_WINDOW.search(" ".join(fault.quotas) or fault.text):
        return Outcome.quota_day
    return outcome


def _outcome(fault: Fault) -> Outcome:
    if fault.status in DECISIVE:
        return STATUSES[fault.status]
    coded = _by_code(fault.words)
    # A code of throttling is the weakest: the text may tell that it is a matter of money or of size.
    if coded is not None and coded is not Outcome.throttled:
        return coded
    for statuses, pattern, outcome in TEXTS:
        if fault.status in statuses and pattern.search(fault.text):
            return outcome
    return coded or STATUSES.get(fault.status) or _by_hundred(fault.status)


def _by_code(words: tuple[str, ...]) -> Outcome | None:
    if any(word.endswith(BILLING_ENDINGS) for word in words):
        return Outcome.billing
    return next((outcome for outcome, codes in CODES.items() if not codes.isdisjoint(words)), None)


def _by_hundred(status: int) -> Outcome:
    return Outcome.invalid if 400 <= status < 500 else Outcome.transient


def failure(fault: Fault, headers: Headers) -> CallResult:
    """The result of a call that the backend answered with an error."""
    outcome, pause_s = _with_pause(outcome_of(fault), fault, headers)
    return CallResult(
        outcome,
        status=fault.status,
        message=sentence(outcome, fault.signature, safe_text(fault.text) if outcome in _QUOTED else ""),
        headers=headers,
        retry_after_s=pause_s,
        signature=fault.signature,
        should_retry=should_retry(headers),
    )


def _with_pause(outcome: Outcome, fault: Fault, headers: Headers) -> tuple[Outcome, float | None]:
    """The pause that the backend asks for; one of more than an hour means that a day's quota is used up."""
    pause_s = retry_after_s(fault.status, headers)
    if outcome is Outcome.throttled:
        pause_s = fault.delay_s if pause_s is None else pause_s
        if pause_s is not None and pause_s > LONGEST_PAUSE_S:
            return Outcome.quota_day, pause_s
    # Google names a pause of seconds with a day's quota as well: only the header is believed then.
    if outcome is Outcome.quota_day:
        return outcome, pause_s
    if pause_s is None or not outcome.retry_here:
        return outcome, None
    return outcome, min(pause_s, LONGEST_PAUSE_S)


def sentence(outcome: Outcome, signature: str, quoted: str = "") -> str:
    """One sentence for people about an outcome."""
    end = f": {quoted}" if quoted else "."
    return f"{SENTENCES.get(outcome, 'The call failed')} ({signature}){end}"


def unusable(status: int, headers: Headers, what: str) -> CallResult:
    """The result of a response that cannot be an answer; `what` completes "The backend answered with …"."""
    return CallResult(
        Outcome.transient,
        status=status,
        message=f"The backend answered with {what} (status {status}).",
        headers=headers,
        signature=f"{status} {what}",
    )
