"""URLs as they may be shown to people."""

from urllib.parse import urlsplit, urlunsplit


def masked_url(url: str) -> str:
    """The URL without its password and query, for messages and logs."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    if not parts.netloc:  # sqlite:////var/lib/history.db has no host, and its slashes count
        return url.partition("?")[0].partition("#")[0]
    user = f"{parts.username}:***@" if parts.password else f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, f"{user}{host}{port}", parts.path, "", ""))
