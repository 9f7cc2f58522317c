"""What operators see of the budgets, and what they turn."""
