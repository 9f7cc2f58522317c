"""What the metrics of all processes are, as a list."""
