"""Which runs the book is about: parameters, settings, arms, and the runs of each chapter."""
