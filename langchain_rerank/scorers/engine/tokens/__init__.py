"""From a query and texts to token ids."""
