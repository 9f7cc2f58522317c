"""Alerts: what is wrong is noticed, written down, and told to people."""
