"""Images, crops, list files and minibatches. Takes numbers, not presets."""
