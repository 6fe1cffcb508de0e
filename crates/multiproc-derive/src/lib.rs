//! multiproc-derive
