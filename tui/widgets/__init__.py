"""The panes, one file each, with its stylesheet beside it."""
