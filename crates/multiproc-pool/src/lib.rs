//! multiproc-pool
