"""Whatever somebody else wrote is read, or refused by a sentence: `make fuzz`. See `__main__`."""
