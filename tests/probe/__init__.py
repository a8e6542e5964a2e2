"""The command probe and its claims."""
