"""Reading videos: which frames to take, and their pixels. Knows no queue and no model."""
