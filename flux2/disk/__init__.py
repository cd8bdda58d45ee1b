"""Files of our own: written whole or not at all, for this user alone, and checked when they are read back."""
