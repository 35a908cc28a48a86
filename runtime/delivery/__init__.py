"""Delivery of results: outbox, senders, destinations."""
