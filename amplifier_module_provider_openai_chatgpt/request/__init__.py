"""From Amplifier's ``ChatRequest`` to a ``Call``. Pure; imports protocol, models and settings only."""
