"""Weights of few bits: how they are made, multiplied with, kept on the disk and read back."""
