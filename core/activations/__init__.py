"""What a classifier does with a dataset: features and logits, stored, sorted, cut into bands, sampled."""
