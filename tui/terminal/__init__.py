"""The terminal: its bytes, its abilities, and what of Textual is changed for them."""
