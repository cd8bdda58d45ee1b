"""The way from clean latents to a picture."""
