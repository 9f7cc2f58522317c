"""How often a call is started that kills its workers. Pure."""

# The last start is made with nothing beside it.
MOST_STARTS = 3
