"""From Amplifier's request to a described call. Pure."""
