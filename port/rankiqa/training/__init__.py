"""Training: presets, tasks (ranking and fine-tuning), the trainer with its callbacks, and snapshots."""
