"""Every key, and what it does: one table."""
