"""How each classroom model was made and is judged."""
