"""The process that owns MLX: protocol, server, client, journal."""
