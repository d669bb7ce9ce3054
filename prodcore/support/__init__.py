"""What several packages need and no rule of the catalogue is in."""
