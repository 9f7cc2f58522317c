"""What the history tells on the command line: costs, requests, the way of one of them, agents."""
