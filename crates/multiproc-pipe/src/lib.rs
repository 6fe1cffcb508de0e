//! multiproc-pipe
