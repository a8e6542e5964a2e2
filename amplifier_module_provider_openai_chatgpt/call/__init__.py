"""Runs one ``complete()``: attempts, fallbacks, continuations, cancellation, events."""
