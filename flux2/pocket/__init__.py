"""`pocket`: a small FLUX.2 model made here, the scenes it learned from, and its training.

The pictures   scenes (what is in one) from subjects, places and captions; drawn by animals, objects and drawing
The training   train tells the story: autoencoder, flow (teacher, distillation), judge; on loop, optimizer and shelves
The result     checkpoint (the model), judge.safetensors and scores.json (how good it is), samples.jpg (how it looks),
               previews (what `flux2.denoise.preview` draws its previews with)

The scenes need only numpy and Pillow; the training and `evaluate` need the extra `train`.
"""
