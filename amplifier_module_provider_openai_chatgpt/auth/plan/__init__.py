"""The documented "Sign in with ChatGPT": registration, consent, and the life of its credential."""
