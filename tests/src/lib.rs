//! What the test suites of the workspace share.

pub mod filetests;
