"""What all processes agree on in Redis: answers, flights, budgets, and who is alive.

Every step that decides something is one Lua script in `lua/`, safe to repeat with the same arguments, because a script
whose reply was lost may have run.
"""
