"""What crosses the wire to the backend, and what comes back."""
