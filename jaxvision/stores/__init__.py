"""Object storage (gs://, s3://, memory://, ...): files by address, read as if in a folder."""
