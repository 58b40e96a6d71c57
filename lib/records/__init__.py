"""What runs left on disk, and the plan of what has to be trained."""
