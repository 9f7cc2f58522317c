"""The units of systemd, and the command that writes them: `optimizer install systemd`."""
