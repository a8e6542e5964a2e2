"""The clients that are compared; each runs in an interpreter of its own (see worker.py)."""
