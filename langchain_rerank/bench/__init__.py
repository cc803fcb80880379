"""How fast is it here: the engine beside the other ways to run the same model."""
