"""The themes that come with the program, one TOML file each; users add their own in their configuration folder."""
