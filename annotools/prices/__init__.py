"""What labels cost: actions, their times, and prices with intervals."""
