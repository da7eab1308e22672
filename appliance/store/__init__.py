"""What the box remembers: one SQLite database and one folder of immutable files.

This package holds the only SQL of the project.
"""
