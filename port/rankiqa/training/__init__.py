"""Training: presets, tasks (ranking, fine-tuning), the trainer with its callbacks, and snapshots."""
