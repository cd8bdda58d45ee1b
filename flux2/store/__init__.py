"""Models on the Hugging Face Hub and in its cache on this disk: what is there, fetching it, deleting it.

`download` is what the others use; it runs `process` as a child, which fetches each file with `fetch`. Nothing here
loads MLX.
"""
