"""What a chapter shows: figures, tables, verdicts. The only room that knows notebooks."""
