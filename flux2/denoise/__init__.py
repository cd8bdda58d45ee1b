"""The way from noise to clean latents: the schedule, the steps, what they show on the way, and taking them up again."""
