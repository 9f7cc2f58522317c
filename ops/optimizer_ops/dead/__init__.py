"""What operators see of the dead letters, and what they do with them."""
