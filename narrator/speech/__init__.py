"""A sentence -> sound."""
