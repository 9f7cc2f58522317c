"""The stored answers: what there is, looking into it, and flushing it."""
