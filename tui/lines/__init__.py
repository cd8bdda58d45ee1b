"""What panes say: lines of text made of what is known, without any widget."""
