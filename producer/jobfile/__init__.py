"""Job files: what `submit`, `run` and `schedule apply` take, in YAML, TOML or JSON, all of one model.

`read_job_file` gives the checked file; `JobFile.request` what it asks for, in the words of the command line.
"""

from __future__ import annotations

from producer.jobfile.model import JobFile
from producer.jobfile.reading import job_file_schema, parse_job, read_job_file

__all__ = ["JobFile", "job_file_schema", "parse_job", "read_job_file"]
