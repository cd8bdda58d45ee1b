"""One denoising step and one decode by this engine, by diffusers on PyTorch and by mflux, timed side by side."""
