"""What operators use: the command line, the event monitor, the simulator, the demo."""
