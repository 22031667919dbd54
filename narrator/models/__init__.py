"""A name -> a folder of weights that can be loaded."""
