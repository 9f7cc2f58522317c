"""The recorder: takes every event from its queue and keeps it in the history."""
