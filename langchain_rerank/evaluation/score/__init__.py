"""From rankings to conclusions: measures, means, intervals, choices."""
