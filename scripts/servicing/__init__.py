"""What `scripts/services` serves to a machine that is booted in a container."""
