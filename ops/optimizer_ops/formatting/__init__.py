"""Numbers, money and times as people write and read them, in the terminal as on the pages. Pure."""
