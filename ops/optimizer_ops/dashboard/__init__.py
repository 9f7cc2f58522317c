"""The dashboard and the HTTP API: one process, one port, nothing from outside."""
