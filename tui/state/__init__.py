"""What the screen knows, without any widget: the session, its choices, and the link to the worker."""
