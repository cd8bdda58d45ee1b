"""LoRAs: files of changes to a transformer's matrices, in whichever layout, computed beside its weights."""
