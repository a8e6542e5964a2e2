"""The limits of the account: values, how they are read, and how they are worded."""
