"""What to buy: curves over hours, a verdict with its certainty, and what it hangs on."""
