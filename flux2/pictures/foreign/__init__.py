"""Readers of what other programs write into their pictures, one file per family."""
