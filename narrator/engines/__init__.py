"""Frames and a prompt -> pieces of text."""
