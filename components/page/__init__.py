"""What stands around the tabs: header, prompt bar, address, document, endpoints."""
