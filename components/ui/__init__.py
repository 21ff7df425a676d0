"""Ground floor of the page: what any tab uses and no tab owns."""
