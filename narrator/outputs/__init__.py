"""A caption -> something kept or shown."""
