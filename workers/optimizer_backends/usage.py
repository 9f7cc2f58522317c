"""Token counts as OpenAI's protocol tells them, with what providers make of it."""

from typing import Any

from optimizer_wire.messages import Usage

# No call uses more: a larger number is a fault of the backend, and would be charged against its limits.
_MOST_TOKENS = 1_000_000_000


def count(value: Any) -> int:
    """A token count, or 0 if it is not one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 < value <= _MOST_TOKENS else 0


def table(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def openai_usage(raw: Any) -> Usage | None:
    """The usage object of a chat completion or an embeddings list; None if there is none.

    xAI leaves reasoning tokens out of `completion_tokens` and Gemini its thoughts, but both count them in
    `total_tokens`: what the total has beyond the prompt is output.
    """
    if not isinstance(raw, dict) or not raw:
        return None
    details = table(raw.get("prompt_tokens_details"))
    prompt, completion, total = (count(raw.get(f"{kind}_tokens")) for kind in ("prompt", "completion", "total"))
    told = count(table(raw.get("completion_tokens_details")).get("reasoning_tokens"))
    output = max(completion, total - prompt)
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        cached_input_tokens=count(details.get("cached_tokens")) or count(raw.get("prompt_cache_hit_tokens")),
        cache_write_tokens=count(details.get("cache_write_tokens")),
        reasoning_tokens=told or output - completion,
        raw=raw,
    )
