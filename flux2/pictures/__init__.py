"""Finished pictures: their files and metadata, the gallery, and how alike two of them are."""
