//! multiproc-process
