"""Every failure in Amplifier's vocabulary. Pure."""
