"""This package is the weakly and semi-supervised panoptic segmenter of Li et al. (ECCV 2018)."""
