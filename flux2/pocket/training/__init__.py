"""How `pocket` was made: the scenes it learned from, and its training. Run in the repository, not installed.

The pictures   scenes (what is in one) from subjects, places and captions; drawn by animals, objects and drawing
The training   train tells the story: autoencoder, flow (teacher, distillation), judge; on loop, optimizer and shelves
What came out  judge.safetensors and scores.json (how good it is), samples.jpg (how it looks); the model lies in
               `flux2/pocket/checkpoint`

The scenes need only numpy and Pillow; the training and `evaluate` need the extra `train`.
"""
