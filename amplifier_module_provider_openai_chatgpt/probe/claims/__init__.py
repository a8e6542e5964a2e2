"""The claims about the service, one module for each subject."""
