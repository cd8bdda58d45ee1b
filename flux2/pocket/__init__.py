"""`pocket`: a small FLUX.2 model made here. `checkpoint` is the model, `previews` what its previews are drawn with.

How it was made, and how good it is, is in `flux2.pocket.training`.
"""
