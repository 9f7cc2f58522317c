"""A picture of a run as SVG, for the README. It fetches nothing: no fonts, no styles."""

import io
import re
from pathlib import Path

from rich.console import Console, RenderableType

from optimizer_ops.demo.screen import View, screen

WIDTH = 116
HEIGHT = 24
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
# rich's picture loads a font from a host; the fonts of whoever looks at it do as well.
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


class Picture:
    """Drawn in two parts: the live table while the fleet works, the summary when it is known."""

    def __init__(self) -> None:
        self._console = Console(
            record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
        )

    def draw(self, part: RenderableType) -> None:
        """Add a part below what is there."""
        self._console.print(part)

    def draw_screen(self, view: View) -> None:
        """Add the live table as it is now."""
        self.draw(screen(view, WIDTH, HEIGHT))

    def write(self, path: Path) -> None:
        """Write the picture."""
        drawn = _FONT_FACE.sub("", self._console.export_svg(title="optimizer demo"))
        path.write_text(drawn.replace("Fira Code, monospace", _FONTS), encoding="utf-8")
