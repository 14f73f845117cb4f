"""What the engine keeps on disk and can make again."""
