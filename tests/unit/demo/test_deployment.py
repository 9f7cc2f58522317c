"""Starting the processes of the demo."""

import pytest

from optimizer_ops.demo import deployment
from optimizer_ops.demo.deployment import Deployment, StartFailed
from optimizer_ops.services import ServiceUrls

# Nobody listens there: what needs a broker waits for one.
NOWHERE = ServiceUrls("amqp://guest:guest@127.0.0.1:1/", "redis://127.0.0.1:1/0")


async def test_a_process_that_cannot_start_is_named_with_its_last_words(tmp_path, monkeypatch):
    """A worker without a key leaves at once; the sentence says which it was and what it wrote."""
    monkeypatch.setattr(deployment, "KEY", "")
    started = Deployment(tmp_path, NOWHERE, "demo-test", lambda _: None)

    try:
        with pytest.raises(StartFailed, match=r"worker/sim-\w+/\d ended while it started(.|\n)*needs a key"):
            await started.start()
    finally:
        await started.stop()


async def test_processes_that_do_not_become_ready_are_named(tmp_path, monkeypatch):
    """Without a broker nothing is ready in time; the sentence names what is late and where the logs are."""
    monkeypatch.setattr(deployment, "START_S", 5.0)
    started = Deployment(tmp_path, NOWHERE, "demo-test", lambda _: None)

    try:
        with pytest.raises(StartFailed, match=r"Not ready after 5 s: .*coordinator/1.*see"):
            await started.start()
    finally:
        await started.stop()
