"""Ask a process of this container whether it can do its work: `python3 healthcheck.py URL`.

Exit code 0 if it answers with 200, else 1 with what it said, which `docker inspect` shows. The admin token is sent if
there is one, as a secret or in the file that OPTIMIZER_ADMIN_TOKEN_FILE names.
"""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

_TIMEOUT_S = 4.0


def token() -> str:
    """The admin token, or nothing."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "/run/secrets")
    file = Path(os.environ.get("OPTIMIZER_ADMIN_TOKEN_FILE") or f"{folder}/admin_token")
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def main(url: str) -> int:
    """Ask; returns the exit code."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token()}"})  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - our own
            print(answer.read(1000).decode())
    except urllib.error.HTTPError as error:
        print(f"{error.code}: {error.read(1000).decode(errors='replace')}")
        return 1
    except OSError as error:
        print(f"{url} does not answer: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
