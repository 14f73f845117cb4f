"""Pictures that people should look at: those that a model is least sure of."""

from __future__ import annotations

from producer.judging.review.doubts import DOUBTS, Doubt, doubt_of, thresholds_of
from producer.judging.review.ranking import Review, ReviewItem, review, review_against

__all__ = ["DOUBTS", "Doubt", "Review", "ReviewItem", "doubt_of", "review", "review_against", "thresholds_of"]
