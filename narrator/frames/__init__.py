"""A source -> its newest frame."""
