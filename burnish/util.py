"""What runner files import."""
