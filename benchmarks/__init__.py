"""How fast the app is, as ratios against plain library calls within one run."""
