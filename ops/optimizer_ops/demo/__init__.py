"""`optimizer demo`: a fleet of agents on simulated backends, with the real processes on a real broker and Redis.

    backends.py     the simulated backends: speed, limits, prices; optimizer.toml from them    pure
    questions.py    what agents ask, in three languages
    load.py         who asks what when: popular questions, bursts, unique ones                 pure
    windows.py      the most arrivals in any window, from raw times                            pure
    request_log.py  what reached a backend, read from its simulator's log
    score.py        what the agents got, and what the events told                              pure
    result.py       what it came to, and the verdict                                           pure
    screen.py       the live table                                                             pure
    summary.py      the tables at the end                                                      pure
    deployment.py   simulators, coordinators and workers as processes
    fleet.py        the agents
    trouble.py      a backend fails for a while, a worker is killed
    listener.py     the events on the broker
    progress.py     the live table, or plain lines where there is no terminal
    picture.py      the same as SVG, for the README
    run.py          one run, from its start to its result
    cleanup.py      nothing stays in the broker and in Redis
    command.py      services, a run, its summary, and nothing left behind

What reached the backends is taken from the simulators' request logs, never from counters of the optimizer.
"""
