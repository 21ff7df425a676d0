"""Vision without text: DINO's features and its self-distillation."""
