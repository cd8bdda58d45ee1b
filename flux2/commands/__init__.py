"""The commands of `flux2`: each module fills its parser and runs itself; `flux2.cli` imports the one that is asked for."""
