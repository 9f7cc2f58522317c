"""The blocking client and the life of a program: its end, an interrupt, a fork."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.support.fake_optimizer import FakeOptimizer

SOON_S = 20.0


@pytest.fixture
def fake(amqp_url, prefix):
    """An optimizer that answers as the text of the prompt says."""
    with FakeOptimizer(amqp_url, prefix) as optimizer:
        yield optimizer


@pytest.fixture
def program(amqp_url, prefix):
    """A function that starts a Python program, with warnings as errors, that finds the optimizer in its environment."""
    started = []

    def start(text):
        environ = os.environ | {"OPTIMIZER_AMQP_URL": amqp_url, "OPTIMIZER_PREFIX": prefix}
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", text]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environ, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_program_need_not_close_its_client(fake, program):
    """A program that ends without closing ends at once, quietly, and with what is unanswered cancelled."""
    process = program(
        "from optimizer_client import Optimizer\n"
        "optimizer = Optimizer('agent')\n"
        "print(optimizer.chat('Why?'))\n"
        "left = optimizer.chat_future('silence')\n"
        "left.add_done_callback(lambda future: print(type(future.exception()).__name__))\n"
    )
    started = time.monotonic()

    out, err = process.communicate(timeout=SOON_S)

    assert (out, err, process.returncode) == ("re: Why?\nCancelled\n", "", 0)
    assert time.monotonic() - started < SOON_S / 2


def test_a_client_that_nobody_has_any_more_ends_by_itself(fake, program):
    """When the last reference to a client goes, its thread and its connection go too."""
    process = program(
        "import gc, threading\n"
        "from optimizer_client import Optimizer\n"
        "print(Optimizer('agent').chat('Why?'))\n"
        "gc.collect()\n"
        "print(threading.active_count())\n"
    )

    assert process.communicate(timeout=SOON_S) == ("re: Why?\n1\n", "")


def test_an_interrupt_stops_waiting_and_cancels(fake, program):
    """Ctrl-C gets through to a thread that waits for an answer, and the optimizer is told."""
    process = program(
        "import signal\n"
        "from optimizer_client import Optimizer\n"
        # Python leaves it ignored where the shell had its background jobs ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with Optimizer('agent') as optimizer:\n"
        "    try:\n"
        "        optimizer.chat('silence')\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', optimizer.chat('after'))\n"
    )
    deadline = time.monotonic() + SOON_S
    while not fake.seen and time.monotonic() < deadline:
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=SOON_S) == ("interrupted re: after\n", "")
    assert fake.cancelled == [fake.seen[0].request.id]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_a_connection_of_its_own(fake, program):
    """Parent and children go on asking after a fork; each gets its own answers on its own reply queue."""
    process = program(
        "import json, os, warnings\n"
        "from optimizer_client import Optimizer, optimized_api_call\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "optimizer = Optimizer('agent')\n"
        "answers = [str(optimizer.chat('parent before')), str(optimized_api_call('shared', 'shared before'))]\n"
        "waiting = optimizer.chat_future('hold parent')\n"
        "for name in ('one', 'two'):\n"
        "    if os.fork() == 0:\n"
        "        print(json.dumps([str(optimizer.chat(name)), str(optimized_api_call(name, name))]), flush=True)\n"
        "        optimizer.close()\n"
        "        raise SystemExit\n"
        "    os.wait()\n"
        "answers.append(str(optimizer.chat('parent after')))\n"
        "print(json.dumps(answers), waiting.done(), optimizer.in_flight)\n"
    )

    out, err = process.communicate(timeout=SOON_S)

    children, parent = out.splitlines()[:2], out.splitlines()[2]
    assert err == ""
    assert [json.loads(line) for line in children] == [["re: one"] * 2, ["re: two"] * 2]
    assert parent == '["re: parent before", "re: shared before", "re: parent after"] False 1'
    by_text = {seen.text: seen.properties.reply_to for seen in fake.seen}
    assert by_text["parent before"] == by_text["parent after"]
    assert len({by_text[text] for text in ("parent before", "one", "two")}) == 3
