"""Programs that use other people's clients; they run in .venv-clients and print JSON."""
