"""Who you are: tokens, their file, sign-in and staying signed in."""
