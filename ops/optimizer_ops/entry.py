"""The entry point of `optimizer`: an installation of the client alone gets a sentence instead of a traceback."""

import sys

from optimizer_service.exit_codes import EXIT_CONFIG

_OURS = "optimizer_"


def main() -> None:
    """Run the command line."""
    try:
        sys.exit(_run())
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(_OURS):
            raise
        print(
            f"optimizer: the command line needs the server's packages ({error.name} is missing): "
            "install the project with its extra, pip install '.[server]'",
            file=sys.stderr,
        )
        sys.exit(EXIT_CONFIG)


def _run() -> int:
    from optimizer_ops.serving import plain

    process = plain(sys.argv[1:])
    if process is not None:
        return process()
    from optimizer_ops.cli import main as command_line

    command_line()
    return 0
