"""Families of stance classifiers, one file each; ``base.Model`` is what they have in common."""
