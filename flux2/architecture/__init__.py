"""What a FLUX.2 model is made of, known from its config files alone: engine and planner read it here. Needs no MLX."""
