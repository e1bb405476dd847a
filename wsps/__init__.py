"""The weakly and semi-supervised panoptic segmenter of Li, Arnab and Torr (ECCV 2018)."""
