"""Questions and their labels: read from files and objects, and compared with documents."""
