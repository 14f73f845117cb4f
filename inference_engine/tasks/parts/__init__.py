"""What several tasks share: parameters, the form of records, blobs, and the way to supervision."""
