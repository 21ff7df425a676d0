"""What every kind of model stands on: catalogue, loading, the compute thread, checks, uploads."""
