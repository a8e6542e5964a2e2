"""An offline ChatGPT."""
