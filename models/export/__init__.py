"""Makes model archives for namm: python -m models.export --help."""
