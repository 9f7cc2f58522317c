"""A simulated backend: a real HTTP server that speaks the OpenAI and Anthropic protocols and does as its script says.

    spec.py      the script: latency, limits, failures, headers
    limits.py    what a provider counts, and when it refuses             pure
    headers.py   rate-limit headers as the named providers send them     pure
    errors.py    error bodies as the named providers send them           pure
    question.py  what of a request decides the answer                    pure
    answers.py   the answer, a function of the request alone             pure
    streams.py   the same answer as server-sent events                   pure
    faults.py    which request fails, and how
    request_log.py  the append-only record of what arrived
    backend.py   one backend: the steps of one request
    server.py    the HTTP shell
    command.py   the command line

It imports nothing else of the optimizer, so that it can be its referee.
"""
