"""Which models there are, what is known of each, and where that knowledge is kept."""
