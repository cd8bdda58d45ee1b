"""The dashboard and the dialogs above it."""
