"""`optimizer_config.amounts` under its name here."""

from optimizer_config.amounts import Amounts, Remaining

__all__ = ["Amounts", "Remaining"]
