"""What every long-running process of the optimizer shares: start and stop, logs, health, and telling events."""
