"""What crosses RabbitMQ, shared by every process: messages, codec, fingerprint, topology, errors, events.

A leaf: it imports nothing else of the optimizer.
"""
