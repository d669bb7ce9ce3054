"""What the user sees: output formats, tables, progress, questions."""
