"""Lessons for a class: questions, votes from phones, and what a lecturer steers."""
