"""Stand-ins for the services that make videos: real speech and drawn footage, over their real HTTP contracts."""
