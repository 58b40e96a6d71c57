"""The code under the book: models, training, masking, analysis and judgement."""
