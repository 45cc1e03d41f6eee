"""Corpora in, a ``Corpus`` out: loaders, checks and split protocols."""
