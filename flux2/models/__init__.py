"""The networks, one file each; no input or output."""
