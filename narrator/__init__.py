"""The parts of Pete Sounds, one concern a file; pete_sounds.py puts them together."""
