"""Clients of other people against the local cloud; make test-clients runs them."""
