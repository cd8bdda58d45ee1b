"""The commands of `flux2`: each module adds its parser and runs itself."""
