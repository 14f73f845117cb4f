"""Submit labelling jobs, follow them, read and export their results. Needs no model runtime."""

from jobstore.schema import ItemRef
from producer.asynchronous import AsyncJob, AsyncProducer
from producer.client import Producer
from producer.errors import JobFailed, JobTimeout
from producer.job import Job

__all__ = ["AsyncJob", "AsyncProducer", "ItemRef", "Job", "JobFailed", "JobTimeout", "Producer"]
