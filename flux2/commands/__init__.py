"""The commands of `flux2`: each module fills its parser and runs itself; the one that is asked for is imported."""
