"""Decides: the stages from pull to report, in the order `sync.py` tells them."""
