"""`optimizer top`: the fleet as it works, drawn anew every second."""
