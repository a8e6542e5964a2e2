"""Carries a call to the backend and brings back its events."""
