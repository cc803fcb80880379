"""What an evaluation found, shown, saved, loaded and compared."""
