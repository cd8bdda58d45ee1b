"""Inputs of a request besides its words: pictures that are handed in, LoRAs, and whether a picture can be changed."""
