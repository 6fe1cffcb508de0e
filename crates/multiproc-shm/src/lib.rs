//! multiproc-shm
