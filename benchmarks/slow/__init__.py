"""Storage that answers slowly, for the benchmarks: mounts, an S3 server, and floors."""
