"""Documentation and commit messages, checked against the repository."""
