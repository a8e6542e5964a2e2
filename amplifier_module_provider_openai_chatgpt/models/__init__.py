"""The models of a subscription: the backend's list, what is known about each model, and the cache."""
