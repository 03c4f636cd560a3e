//! The `ttk` program, as a library: the native binary and the Python package both run it.

/// Runs `ttk` with the arguments after the program's name; its exit code.
pub fn main_with(arguments: Vec<String>) -> i32 {
    drop(arguments);
    2
}
