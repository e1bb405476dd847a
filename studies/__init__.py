"""Studies ask the dataset tools and the segmenter what to buy, and what it gives."""
