"""Scenes that a person enjoys looking at, each a function of time, drawn with numpy and OpenCV."""
