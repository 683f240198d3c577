"""Image scores from a trained network."""
