"""`optimizer status` and `optimizer backends`: how the fleet does, on one screen."""
