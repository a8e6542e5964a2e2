"""Sends calls to the backend and reads the events of the answers."""
