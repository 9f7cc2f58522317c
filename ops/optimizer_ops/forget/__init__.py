"""`optimizer forget`: nothing of what a tenant asked and was answered remains."""
