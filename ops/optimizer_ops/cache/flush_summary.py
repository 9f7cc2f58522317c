"""What was flushed, in a sentence. Pure."""

from optimizer_ops.cache.flush import FlushTally
from optimizer_ops.formatting.units import count_of, duration, size


def sentence(tally: FlushTally) -> str:
    """`42 answers were flushed: tenant acme, older than 7 days. They took 1.2 MB of Redis' memory.`"""
    meant = [] if tally.what.everything and tally.older_than_s is not None else [tally.what.words()]
    if tally.older_than_s is not None:
        meant.append(f"older than {duration(tally.older_than_s)}")
    verb = "would be" if tally.dry_run else "was" if tally.answers <= 1 else "were"
    said = f"{count_of(tally.answers, 'answer')} {verb} flushed: {', '.join(meant)}."
    took = "It takes" if tally.answers == 1 else "They take"
    if not tally.dry_run:
        took = "It took" if tally.answers == 1 else "They took"
    rest = f" {took} {size(tally.memory_bytes)} of Redis' memory." if tally.memory_bytes else ""
    return said[0].upper() + said[1:] + rest
