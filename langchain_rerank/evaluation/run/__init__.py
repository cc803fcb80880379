"""Ask every system every question, once, and keep what was found."""
