"""What a job is worth: against labelled data, against another job, against earlier nights, and against itself.

One module a question. Functions take rows and plain facts and give frozen dataclasses of plain data; printing is the
caller's. Records are read as JSON, so nothing here needs a model's runtime.
"""
