"""The benchmark document's tables, measured: memory and time of every model at every quantization."""
