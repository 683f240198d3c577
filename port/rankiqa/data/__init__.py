"""Images, crops, list files and minibatches. These modules take numbers and do not know the training presets."""
