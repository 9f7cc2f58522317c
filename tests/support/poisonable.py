"""`optimizer` that dies by certain prompts: `python -m tests.support.poisonable WORD worker alpha`.

A call whose parameters hold the word ends the process by kill -9 while its request is written, as a fault in a library
below us could. Everything else is the product as it is.
"""

import os
import signal
import sys
from typing import Any

from optimizer_backends.http import BackendClient


def main() -> None:
    """Poison the one method through which every call goes, then be `optimizer`."""
    word, call = sys.argv.pop(1), BackendClient.call

    async def deadly(
        self: BackendClient, op: Any, model: str, params: dict[str, Any], timeout_s: float, written: Any, *more: Any
    ):
        def die() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        return await call(self, op, model, params, timeout_s, die if word in repr(params) else written, *more)

    BackendClient.call = deadly

    from optimizer_ops.entry import main as optimizer

    optimizer()


if __name__ == "__main__":
    main()
