"""What the errors of all providers mean: by code, by their own words, by status.

The codes of different providers do not contradict each other, so one table serves the whole protocol family.
"""

import re

from optimizer_backends.outcome import Outcome

# The first outcome of which an error has a code. Numbers are Mistral's.
CODES: dict[Outcome, frozenset[str]] = {
    outcome: frozenset(codes.split())
    for outcome, codes in {
        Outcome.billing: """
            insufficient_quota credit_balance_exhausted billing_hard_limit_reached billing_not_active billing_error
            insufficient_balance insufficient_credits payment_required linked_organization_billing_unavailable
            user_profile_billing_not_authorized credit_limit
        """,
        Outcome.unauthorized: """
            invalid_api_key wrong_api_key authentication_error api_key_invalid unauthenticated permission_denied
            permission_error account_deactivated organization_on_hold failed_precondition
        """,
        Outcome.ramp: "slow_down ramp_limit_exceeded",
        Outcome.context_too_long: """
            context_length_exceeded exceed_context_size_error request_too_large model_context_window_exceeded
            string_above_max_length request_body_too_large_after_decoding 3051
        """,
        Outcome.unknown_model: """
            model_not_found invalid_model unknown_model model_not_available model_decommissioned not_found
            not_found_error model_terms_required 1500
        """,
        Outcome.content_filtered: """
            content_filter content_policy_violation responsibleaipolicyviolation invalid_prompt moderation_blocked
        """,
        Outcome.overloaded: """
            server_is_overloaded overloaded_error engine_overloaded unavailable unavailable_error queue_exceeded
            service_tier_capacity_exceeded model_capacity_exhausted capacity_exceeded 3505
        """,
        Outcome.throttled: """
            rate_limit_exceeded rate_limited rate_limit_error resource_exhausted too_many_requests
            too_many_requests_error dynamic_request_limited dynamic_token_limited request_quota_exceeded
            token_quota_exceeded 1300
        """,
    }.items()
}
# `project_spend_limit_exceeded`, `enforced_spend_limit_reached`, and whatever else will be limited.
BILLING_ENDINGS = ("_spend_limit_exceeded", "_spend_limit_reached")

_ANY_4XX = frozenset(range(400, 500))
_REFUSED = frozenset({400, 402, 403, 422})


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# What only the text tells; the first that fits. Billing must be recognised by its very words: Google says "check your
# plan and billing details" about a limit per minute.
TEXTS: tuple[tuple[frozenset[int], re.Pattern[str], Outcome], ...] = (
    (
        _ANY_4XX,
        _words(
            r"credit balance is too low|insufficient (balance|credits?|funds)|(have|has) any credits"
            r"|all available credits|purchase (more )?credits"
            r"|(reached|exceeded) (its|your|the) (\w+ )?spend(ing)? (limit|cap)"
        ),
        Outcome.billing,
    ),
    (frozenset({429}), _words(r"acceleration limit|ramp(ing)? up|scale up .{0,60}gradual"), Outcome.ramp),
    # Larger than the whole minute's budget: waiting never helps.
    (frozenset({413, 429}), _words(r"^request too large"), Outcome.context_too_long),
    (
        frozenset({400, 404, 413, 422, 500}),
        _words(
            r"maximum context length|context (length|window|size|limit)|prompt is too long|input is too long"
            r"|input token count|reduce the length|too large for model|exceeds? the maximum number of tokens"
        ),
        Outcome.context_too_long,
    ),
    (
        _REFUSED,
        _words(r"(incorrect|invalid|missing|expired) api[ _-]?key|api[ _-]?key (is )?(not valid|not found|expired)"),
        Outcome.unauthorized,
    ),
    (
        _REFUSED,
        _words(
            r"content (filter|management|policy)|blocked by .{0,20}(safety|polic)|flagged by moderation"
            r"|input was flagged|violat\w+ .{0,40}(usage|content|safety) polic"
        ),
        Outcome.content_filtered,
    ),
    (
        _REFUSED,
        _words(
            r"model\b.{0,80}?(does not exist|not exist|not found|is not supported|not available|decommissioned)"
            r"|(unknown|invalid|no such) model|not a valid model|no endpoints found"
        ),
        Outcome.unknown_model,
    ),
    (frozenset({400, 429}), _words(r"(tier|model|at|service) (capacity|overloaded)"), Outcome.overloaded),
)

STATUSES: dict[int, Outcome] = {
    401: Outcome.unauthorized,
    402: Outcome.billing,
    403: Outcome.unauthorized,
    404: Outcome.unknown_model,
    408: Outcome.transient,
    409: Outcome.transient,
    410: Outcome.unknown_model,
    413: Outcome.context_too_long,
    425: Outcome.transient,
    429: Outcome.throttled,
    498: Outcome.overloaded,
    499: Outcome.transient,
    503: Outcome.overloaded,
    529: Outcome.overloaded,
}
# These statuses say it themselves; their codes are about something else (Groq: 413 rate_limit_exceeded).
DECISIVE = frozenset({401, 402, 413, 498, 529})

# A limit of a day or longer, by name of the quota or in the text.
LONG_WINDOW = _words(r"per[-_ ]?(day|week|month)|\b(rpd|tpd)\b|daily|weekly|monthly")

SENTENCES: dict[Outcome, str] = {
    Outcome.throttled: "The backend's rate limit is reached",
    Outcome.ramp: "The backend asks for a slower increase of traffic",
    Outcome.quota_day: "The backend's daily or monthly quota is used up",
    Outcome.billing: "The backend's account has no credit left or has reached a spending limit",
    Outcome.overloaded: "The backend is overloaded",
    Outcome.transient: "The backend failed",
    Outcome.context_too_long: "The prompt does not fit the model",
    Outcome.invalid: "The backend refuses the request",
    Outcome.unknown_model: "The backend does not know the model, or its address is wrong",
    Outcome.unauthorized: "The backend does not accept the key",
    Outcome.content_filtered: "The backend refuses the content",
}
