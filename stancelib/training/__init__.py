"""What families share: feature blocks, the linear head, encoders, the torch loop."""
