"""Stand-ins for the services that videos need: synthesised speech and drawn footage, over the real HTTP contracts."""
