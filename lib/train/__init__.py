"""Tasks, models, starts and runs, and the trainer: all that makes a number in a record."""
