"""A talking head of one person: its recording, its sound, what drives it, and how it is measured."""
