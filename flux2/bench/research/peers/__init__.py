"""The same denoising step and decode by this engine, by diffusers on PyTorch and by mflux, timed side by side."""
