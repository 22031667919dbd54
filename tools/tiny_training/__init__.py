"""The parts of train_tiny_smolvlm2.py."""
