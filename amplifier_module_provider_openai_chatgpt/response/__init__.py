"""From the backend's events to Amplifier's response. Pure."""
