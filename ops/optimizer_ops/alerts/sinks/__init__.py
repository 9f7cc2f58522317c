"""The ways to tell people of alerts."""
