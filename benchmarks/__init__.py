"""What the provider costs, measured beside other clients of the same stream (see README.md)."""
