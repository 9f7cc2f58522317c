"""One module a version, the newest last."""
