"""The rules by which the simulated backend refuses a request."""
