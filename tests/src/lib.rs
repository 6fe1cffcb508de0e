//! Helpers of the tests that need real processes.
