"""A visitor's runs: how they begin, are shown, stopped and kept."""
