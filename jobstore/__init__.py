"""The words that producer and workers share, all SQL, the names of queues and the form of messages."""
