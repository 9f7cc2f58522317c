"""What an examination found: one line of the doctor's. Pure."""

from typing import Literal

import msgspec

Verdict = Literal["ok", "warning", "failed"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at. `what_to_do` is empty where nothing is to be done."""

    area: str
    verdict: Verdict
    what: str
    what_to_do: str = ""


class Area:
    """Findings of one area, in the order in which they are made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []

    def ok(self, what: str) -> None:
        """This is as it should be."""
        self.findings.append(Finding(area=self.name, verdict="ok", what=what))

    def warning(self, what: str, what_to_do: str) -> None:
        """This works, and will hurt some day."""
        self.findings.append(Finding(area=self.name, verdict="warning", what=what, what_to_do=what_to_do))

    def failed(self, what: str, what_to_do: str) -> None:
        """This does not work."""
        self.findings.append(Finding(area=self.name, verdict="failed", what=what, what_to_do=what_to_do))
