"""What pip installs, in an empty environment."""
