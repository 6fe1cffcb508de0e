//! Shared memory: memfd, seals, named files.
