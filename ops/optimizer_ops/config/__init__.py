"""`optimizer config`: what is configured, where each value comes from, and whether it is right."""
