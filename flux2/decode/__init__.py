"""From clean latents to a picture."""
