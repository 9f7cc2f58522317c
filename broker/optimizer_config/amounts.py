"""How much of each limit a call takes, and how much of one a provider says is left."""

from dataclasses import dataclass

import msgspec

from optimizer_config.model import Dimension


class Amounts(msgspec.Struct, frozen=True):
    """What one call uses. `micro_usd` is money in millionths of a US dollar."""

    requests: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    micro_usd: int = 0

    def of(self, dimension: Dimension) -> int:
        """The part that a limit of this dimension counts."""
        match dimension:
            case "requests":
                return self.requests
            case "tokens":
                return self.input_tokens + self.output_tokens
            case "input_tokens":
                return self.input_tokens
            case "output_tokens":
                return self.output_tokens
            case "usd":
                return self.micro_usd


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a provider's response says of one of its limits: so much is left of `limit` (if it says) in each `per_s`.

    `reset_s` is in how many seconds the window is full again, if it says.
    """

    dimension: Dimension
    per_s: float
    remaining: int
    limit: int | None = None
    reset_s: float | None = None
