"""What a run must show before its model is given an alias: the gates, and the verdict on a run."""

from stancelib.promoting.gates import Gates, Loosening, loosenings
from stancelib.promoting.judging import LEFT_OUT, Candidate, Check, Verdict, judge

__all__ = ["LEFT_OUT", "Candidate", "Check", "Gates", "Loosening", "Verdict", "judge", "loosenings"]
