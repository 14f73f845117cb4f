"""Reading what lies elsewhere without being led astray: one policy, checked before each connection.

Knows nothing of jobs, models or settings.
"""
