"""What `scripts/mutations` does: see whether a broken promise makes its test fail."""
