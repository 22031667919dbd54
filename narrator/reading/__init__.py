"""The text in view, verbatim: an image -> lines in reading order -> sentences."""
