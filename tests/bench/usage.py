"""What processes use: CPU seconds and memory."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import psutil

LOCAL = ("127.0.0.1", "localhost", "::1")


class Usage:
    """What the processes of each role use together; roles without a process are left out."""

    def __init__(self, pids: Mapping[str, Sequence[int]]) -> None:
        self._processes = {role: [psutil.Process(pid) for pid in found] for role, found in pids.items() if found}

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of each role since its processes began."""
        return {role: sum(map(_cpu_s, found)) for role, found in self._processes.items()}

    def rss_mb(self) -> dict[str, float]:
        """Resident memory of each role in MB of 10^6 bytes."""
        return {role: sum(p.memory_info().rss for p in found) / 1e6 for role, found in self._processes.items()}


def server_pids(url: str, name: str) -> list[int]:
    """The local process that serves this URL, if it may be seen and its name contains `name`."""
    parts = urlsplit(url)
    if parts.hostname not in LOCAL:
        return []
    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    except psutil.AccessDenied:
        return []
    pids = {c.pid for c in listening if c.laddr.port == parts.port and c.pid}
    return [pid for pid in pids if name in psutil.Process(pid).name()]


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
