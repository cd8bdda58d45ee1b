"""Reference pictures: prepared, encoded into clean latents, kept."""
