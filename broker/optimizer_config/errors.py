"""The one error of this package."""


class ConfigError(Exception):
    """The configuration cannot be used; the message is a sentence that names the file or variable and the place."""
