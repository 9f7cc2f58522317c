"""The one error of this package."""


class ConfigError(Exception):
    """The configuration cannot be used; the message is a sentence that names the file or variable and the place.

    `file` and the dotted `place` in it are given where a file is at fault, so that a line can be found for them.
    """

    def __init__(self, message: str, *, file: str | None = None, place: str | None = None) -> None:
        super().__init__(message)
        self.file = file
        self.place = place
