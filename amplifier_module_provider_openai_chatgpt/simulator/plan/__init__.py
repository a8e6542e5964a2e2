"""The documented service "Sign in with ChatGPT": its issuer and the public API (docs/backend-plan.md)."""
