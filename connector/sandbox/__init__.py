"""Simulated platforms for the demo and the tests. Shares no code with the adapters, on purpose."""
