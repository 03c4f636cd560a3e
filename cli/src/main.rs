//! The native program.

fn main() {
    std::process::exit(ttk_cli::main_with(std::env::args().skip(1).collect()));
}
