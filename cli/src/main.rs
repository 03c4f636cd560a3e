//! The native program.

fn main() {
    // A defect of the compiler is an error like others: one line, unless a backtrace was asked for.
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|v| v == "0") {
        std::panic::set_hook(Box::new(|_| {}));
    }
    std::process::exit(ttk_cli::main_with(std::env::args_os().skip(1).collect()));
}
