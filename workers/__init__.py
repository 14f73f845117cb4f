"""What runs on a worker machine: launcher, processes, the way of a shard, the relay."""
